"""Cache of compiled templates and of the expressions of their headers."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.bccache import Bucket
from jinja2.environment import TemplateExpression
from jinja2.parser import Parser

from udfs import cache_folder


class Bytecode(jinja2.BytecodeCache):
    """Cache of compiled templates by path and text, in this process and on disk, as Numba's of kernels."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, CodeType | None]] = {}

    @cached_property
    def _stored(self) -> jinja2.FileSystemBytecodeCache | None:
        """Cache on disk, in a folder named after the code that compiles; ``None`` if there can be none."""
        version = hashlib.blake2b(jinja2.__version__.encode(), digest_size=8)
        for path in sorted(Path(__file__).parent.rglob("*.py")):
            version.update(path.read_bytes())
        base = cache_folder()
        if base is None:
            return None
        folder = base / f"templates-{version.hexdigest()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            return None
        return jinja2.FileSystemBytecodeCache(str(folder))

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._codes.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code
        elif self._stored is not None:
            with contextlib.suppress(Exception):  # whatever a damaged file raises, the template is compiled anew
                self._stored.load_bytecode(bucket)
                self._codes[bucket.key] = bucket.checksum, bucket.code

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._codes[bucket.key] = bucket.checksum, bucket.code
        if self._stored is not None:
            with contextlib.suppress(OSError):
                self._stored.dump_bytecode(bucket)


CACHE = Bytecode()


@cache
def expression(environment: jinja2.Environment, text: str) -> Callable[..., Any]:
    """Compiled expression of a header, cached as templates are."""
    bucket = CACHE.get_bucket(environment, f"({text})", None, text)
    if bucket.code is None:
        bucket.code = _compiled(environment, text)
        CACHE.set_bucket(bucket)
    template = jinja2.Template.from_code(environment, bucket.code, environment.make_globals(None))
    return TemplateExpression(template, undefined_to_none=False)


def _compiled(environment: jinja2.Environment, text: str) -> CodeType:
    """Code of a template that sets ``result`` to an expression, as Jinja's own ``compile_expression`` makes it."""
    parser = Parser(environment, text, state="variable")
    found = parser.parse_expression()
    if not parser.stream.eos:
        parser.fail("chunk after expression")
    found.set_environment(environment)
    return environment.compile(nodes.Template([nodes.Assign(nodes.Name("result", "store"), found, lineno=1)], lineno=1))
