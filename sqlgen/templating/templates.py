"""Jinja environment of the SQL templates: sandboxed, strict, with typed options.

A template starts with a Jinja comment that holds its header in YAML: what it is, the inputs it
reads, its options with type, default and bounds, and the lookback it needs. The header is the one
place for each default.
"""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
from msgspec import Struct, field
from pydantic import ValidationError

from sqlgen.errors import ConfigError, TemplateError
from sqlgen.templating import bytecode, expressions, inheriting, quoting, secrets, yamlfile
from sqlgen.templating.autoindent import AutoIndent
from sqlgen.templating.header import CSV_OPTIONS, TEMPLATE_SUFFIX, CsvFormat, Header, LineFormat, invalid, not_found
from sqlgen.templating.sandbox import environment as sandbox
from udfs import OVERLAP_NS

PACKAGED = Path(__file__).resolve().parents[2] / "transforms_sql"

_FAILURES = (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError)
_HEADER = re.compile(r"\A\{#-?(.*?)-?#\}\s*", re.DOTALL)


@cache
def _parsed_header(path: str, text: str) -> Header:
    """Parsed header, cached per process."""
    document = yamlfile.parse(Path(path), text)
    if document.problems:
        raise ConfigError(document.problems)
    return Header.model_validate(document.data or {})


class Library(Struct, frozen=True, dict=True):
    """The templates of a project: the user's own folder first, the packaged one after it."""

    folder: Path | None = None
    kept: dict[object, Any] = field(default_factory=dict)
    """Results of others that depend on the templates alone."""
    _headers: dict[str, Header] = field(default_factory=dict)

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
            bytecode_cache=bytecode.CACHE,
            extensions=[AutoIndent],
        )
        filters = ("ident", "literal", "quoted", "exact_path", "comment", "filled", "json_path", "apart")
        environment.filters.update({name: getattr(quoting, name) for name in filters})
        environment.filters["indent"] = sandbox.bounded("indent", quoting.indent)
        environment.tests["nested"] = quoting.is_nested
        environment.filters["only"] = _only
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
            if not name.startswith(("macros/", *sandbox.ENGINE))
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
            raise TemplateError(not_found(name, self.folders, self.names())) from None
        return text, path or name

    def header(self, name: str) -> Header:
        if name not in self._headers:
            self._headers[name] = self._read_header(name)
        return self._headers[name]

    def _read_header(self, name: str) -> Header:
        text, path = self.source_text(name)
        match = _HEADER.match(text)
        try:
            own = _parsed_header(path, match.group(1) if match else "")
        except (ConfigError, ValidationError) as error:
            said = invalid(error) if isinstance(error, ValidationError) else error
            raise TemplateError(f"template '{name}' ({path}): its header is not valid: {said}") from error
        parent = inheriting.extended(text)
        if parent is None:
            return own
        known = self._blocks(parent, (name,))
        with self._failures(name, {}):
            for line, fault in inheriting.faults(self.environment, text, known):
                raise TemplateError(f"{path}:{line}: {fault}")
        return inheriting.merged(self.header(parent), own)

    def _blocks(self, name: str, below: tuple[str, ...]) -> list[str]:
        """Blocks of a template, and of those that it extends."""
        text, path = self.source_text(name)
        if name in below:
            shipped = f" To extend the packaged one, write {inheriting.SHIPPED}{name}" if len(below) == 1 else ""
            raise TemplateError(f"{path}: it extends itself.{shipped}")
        with self._failures(name, {}):
            found = inheriting.blocks(self.environment, text)
        parent = inheriting.extended(text)
        return found + (self._blocks(parent, (*below, name)) if parent is not None else [])

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
        return bytecode.expression(packaged().environment, expression)(options=SimpleNamespace(**options))

    def text(self, name: str, /, **context: Any) -> str:
        """Text of a template, which is not to be run; every failure names the template, and the line."""
        with self._failures(name, context):
            return self.environment.get_template(name).render(**context).strip()

    def render(self, name: str, /, **context: Any) -> str:
        """SQL of a template; every failure names the template, and the line if there is one."""
        text = self.text(name, **context)
        if len(self.folders) > 1 and not name.startswith(sandbox.ENGINE) and (problem := expressions.reach(text)):
            raise TemplateError(f"{self.source_text(name)[1]}: {problem}")
        return text

    def variables(self, name: str, /, *needed: str, **context: Any) -> Mapping[str, Any]:
        """Variables that a template sets outside its macros; :class:`TemplateError` if it lacks one of ``needed``."""
        with self._failures(name, context):
            found = _set_before_output(self.environment.get_template(name), context)
        missing = next((variable for variable in needed if variable not in found), None)
        if missing is not None:
            raise TemplateError(f"template '{name}' does not set '{missing}'. Add {{% set {missing} = ... %}}")
        return found

    @contextlib.contextmanager
    def _failures(self, name: str, context: Mapping[str, Any]) -> Iterator[None]:
        sandbox.begin()
        try:
            yield
        except (*_FAILURES, RecursionError, MemoryError) as error:
            _, path = self.source_text(name)  # raises if it is this template that cannot be read
            raise TemplateError(_failure(error, path, context)) from error


@cache
def packaged() -> Library:
    """The packaged templates alone, which do not change while a process runs."""
    return Library()


def library_of(own: Path) -> Library:
    """The templates of a project whose own ones are in a folder, if there is one."""
    return Library(own.resolve()) if own.is_dir() else packaged()


def _failure(error: BaseException, path: str, context: Mapping[str, Any]) -> str:
    """Message of what a template at ``path`` raised."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename or path}:{error.lineno}: {error.message}"
    if isinstance(error, jinja2.TemplateNotFound):
        return f"{path}: it imports '{error.name}', which does not exist"
    known = f"{error.message}{_known(context)}" if isinstance(error, jinja2.UndefinedError) else error
    return f"{_template_line(error, path)}: {known}"


def _set_before_output(template: jinja2.Template, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Variables that a template sets before its first output: its SQL, which nobody asked for, is not rendered."""
    context = template.new_context(dict(values))
    next((text for text in template.root_render_func(context) if text.strip()), None)
    return context.get_exported()


def _fail(message: str) -> None:
    """Raise an error from a template."""
    raise ValueError(message)


def _only(source: Any, part: str) -> Any:
    """Restrict an adapter's ``source`` to the files whose names contain ``part``."""
    return source.only(part)


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
