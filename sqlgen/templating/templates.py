"""Jinja environment of the SQL templates: sandboxed, strict, with typed options.

A template starts with a Jinja comment that holds its header in YAML: what it is, the inputs it
reads, its options with type, default and bounds, and the lookback it needs. The header is the one
place for each default.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import jinja2
from jinja2.bccache import Bucket
from pydantic import ValidationError

from sqlgen.errors import ConfigError, TemplateError, nearest
from sqlgen.templating import quoting, sandbox, secrets, yamlfile
from sqlgen.templating.autoindent import AutoIndent
from sqlgen.templating.header import CSV_OPTIONS, CsvFormat, Header, LineFormat
from udfs import OVERLAP_NS, cache_folder

TEMPLATE_SUFFIX = ".sql.j2"
PACKAGED = Path(__file__).resolve().parents[2] / "transforms_sql"

_FAILURES = (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError)
"""Errors of templates that have no case of their own."""
_HEADER = re.compile(r"\A\{#-?(.*?)-?#\}\s*", re.DOTALL)


class _Bytecode(jinja2.BytecodeCache):
    """Cache of compiled templates by path and text, in this process and on disk, as Numba's of kernels."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, CodeType]] = {}

    @cached_property
    def _stored(self) -> jinja2.FileSystemBytecodeCache | None:
        """Cache on disk, in a folder named after the code that compiles; ``None`` if there can be none."""
        version = hashlib.blake2b(jinja2.__version__.encode(), digest_size=8)
        for path in sorted(Path(__file__).parent.glob("*.py")):
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

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._codes[bucket.key] = bucket.checksum, bucket.code
        if self._stored is not None:
            with contextlib.suppress(OSError):
                self._stored.dump_bytecode(bucket)


_BYTECODE = _Bytecode()


@cache
def _parsed_header(path: str, text: str) -> Header:
    """Parsed header, cached per process."""
    document = yamlfile.parse(Path(path), text)
    if document.problems:
        raise ConfigError(document.problems)
    return Header.model_validate(document.data or {})


@dataclass(frozen=True)
class Library:
    """The templates of a project: the user's own folder first, the packaged one after it."""

    folder: Path | None = None
    _headers: dict[str, Header] = field(default_factory=dict, repr=False)

    @property
    def folders(self) -> list[Path]:
        """Folders that are searched for templates, in order."""
        return [PACKAGED] if self.folder in (None, PACKAGED) else [path for path in (self.folder, PACKAGED) if path]

    @cached_property
    def environment(self) -> jinja2.Environment:
        folders = self.folders
        environment = sandbox.Sandbox(
            loader=sandbox.Loader(folders),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            bytecode_cache=_BYTECODE,
            extensions=[AutoIndent],
        )
        filters = ("ident", "literal", "quoted", "exact_path", "comment", "indent", "filled", "json_path")
        environment.filters.update({name: getattr(quoting, name) for name in filters})
        environment.tests["nested"] = quoting.is_nested
        environment.filters["only"] = _only
        environment.filters["apart"] = _apart
        environment.filters["regex"] = re.escape
        environment.filters["hidden"] = secrets.hidden
        environment.globals["fail"] = _fail
        environment.globals["overlap_ns"] = OVERLAP_NS
        return environment

    def names(self) -> list[str]:
        """All templates except macros."""
        return [
            name
            for name in self.environment.list_templates(filter_func=lambda name: name.endswith(TEMPLATE_SUFFIX))
            if not name.startswith(("macros/", "publish/", "inspect/", "queries/"))
        ]

    def source_text(self, name: str) -> tuple[str, str]:
        """Text and path of a template; :class:`TemplateError` where there is none."""
        assert self.environment.loader is not None
        try:
            text, path, _ = self.environment.loader.get_source(self.environment, name)
        except UnicodeDecodeError as error:
            raise TemplateError(f"template '{name}' is not UTF-8: {error}. Save it as UTF-8") from None
        except sandbox.LinkError as error:
            raise TemplateError(f"template '{name}': {error}") from None
        except jinja2.TemplateNotFound:
            looked = ", ".join(map(str, self.folders))
            raise TemplateError(
                f"template '{name}' not found in {looked}.{nearest(name, self.names())}"
                f" Templates there are: {', '.join(self.names())}"
            ) from None
        return text, path or name

    def header(self, name: str) -> Header:
        if name not in self._headers:
            self._headers[name] = self._read_header(name)
        return self._headers[name]

    def _read_header(self, name: str) -> Header:
        text, path = self.source_text(name)
        match = _HEADER.match(text)
        try:
            return _parsed_header(path, match.group(1) if match else "")
        except (ConfigError, ValidationError) as error:
            raise TemplateError(f"template '{name}' ({path}): its header is not valid: {error}") from error

    def lookback(self, name: str, options: Mapping[str, Any]) -> float:
        """Seconds of earlier rows that a template needs, from its header."""
        return float(self._value(self.header(name).lookback, options))

    def captured_levels(self, name: str, options: Mapping[str, Any]) -> Any:
        """Most levels per side that an adapter's feed sends, ``all``, or ``None`` if unknown."""
        expression = self.header(name).captured_levels
        return self._value(expression, options) if expression else None

    def lookahead(self, name: str, options: Mapping[str, Any]) -> float:
        """Seconds of later rows that a template needs, from its header."""
        return float(self._value(self.header(name).lookahead, options))

    def batches(self, name: str, options: Mapping[str, Any]) -> bool:
        """True if one statement may build several partitions of a template."""
        batches = self.header(name).batches
        return batches if isinstance(batches, bool) else bool(self._value(batches, options))

    def csv(self, name: str, options: Mapping[str, Any]) -> CsvFormat:
        """CSV dialect of an adapter's files under these options."""
        csv = self.header(name).csv
        lines = {
            pattern: LineFormat(fits=self._value(known.fits, options), says=self._value(known.says, options))
            for pattern, known in csv.lines.items()
        }
        overrides = {name: options[name] for name in CSV_OPTIONS if name in options}
        return csv.model_copy(update={"lines": lines, **overrides})

    def _value(self, expression: str, options: Mapping[str, Any]) -> Any:
        sandbox.begin()
        compiled = self.environment.compile_expression(expression, undefined_to_none=False)
        return compiled(options=SimpleNamespace(**options))

    def render(self, name: str, /, **context: Any) -> str:
        """Render a template; every failure names the template and the line."""
        with self._failures(name, context):
            return self.environment.get_template(name).render(**context).strip()

    def variables(self, name: str, /, *needed: str, **context: Any) -> Mapping[str, Any]:
        """Variables that a template sets outside its macros; :class:`TemplateError` if it lacks one of ``needed``."""
        with self._failures(name, context):
            found = vars(self.environment.get_template(name).make_module(context))
        missing = next((variable for variable in needed if variable not in found), None)
        if missing is not None:
            raise TemplateError(f"template '{name}' does not set '{missing}'. Add {{% set {missing} = ... %}}")
        return found

    @contextlib.contextmanager
    def _failures(self, name: str, context: Mapping[str, Any]) -> Iterator[None]:
        _, path = self.source_text(name)
        sandbox.begin()
        try:
            yield
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"{error.filename or path}:{error.lineno}: {error.message}") from error
        except jinja2.TemplateNotFound as error:
            raise TemplateError(f"{path}: it imports '{error.name}', which does not exist") from error
        except jinja2.UndefinedError as error:
            raise TemplateError(f"{_template_line(error, path)}: {error.message}{_known(context)}") from error
        except (*_FAILURES, RecursionError, MemoryError) as error:
            raise TemplateError(f"{_template_line(error, path)}: {error}") from error


def _fail(message: str) -> None:
    """Raise an error from a template."""
    raise ValueError(message)


def _only(source: Any, part: str) -> Any:
    """Restrict an adapter's ``source`` to the files whose names contain ``part``."""
    return source.only(part)


def _apart(names: Iterable[str]) -> dict[str, str]:
    """Name -> unique name in SQL, where ``t`` and ``T`` would clash."""
    found: dict[str, str] = {}
    for name in names:
        if name not in found:
            used = {other.lower() for other in found.values()}
            others = (f"{name} ({number})" for number in range(2, len(used) + 3))
            found[name] = next(other for other in (name, *others) if other.lower() not in used)
    return found


def _template_line(error: BaseException, path: str) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(TEMPLATE_SUFFIX)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else path


def _known(context: Mapping[str, Any]) -> str:
    """Names that a template can use, for messages about undefined ones."""
    parts = []
    for name, value in sorted(context.items()):
        members = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
        parts.append(f"{name} ({', '.join(sorted(members))})" if members else name)
    return f". Known here: {', '.join(parts)}" if parts else ""
