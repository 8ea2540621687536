"""YAML with line numbers: plain data, the line of every key, ``${VAR:-default}`` filled in."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from msgspec import Struct, field
from yaml.reader import ReaderError

from sqlgen.errors import ConfigError, Problem
from sqlgen.templating import secrets

KeyPath = tuple[str | int, ...]

MOST_BYTES = 8 << 20
MOST_VALUES = 300_000
"""Values in a file, values repeated by aliases included."""
_MOST_BITS = 10_000
"""Digits of a number; Python does not print a much longer one."""
_MERGE = "tag:yaml.org,2002:merge"
_MOST_BRACKETS = 500
_DEEP = re.compile(r"^[ \t?:-]{200}", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Document(Struct):
    """A YAML file as plain data, with the line of each key."""

    path: Path
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, keys: KeyPath) -> str:
        """``file:line`` of a key, or of the nearest one above it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path}:{self.lines.get(keys, 1)}"

    def problem(self, keys: KeyPath, message: str) -> Problem:
        return Problem(self.where(keys), ".".join(str(key) for key in keys), str(secrets.hidden(message)))


def load(path: Path, environ: Mapping[str, str] | None = None) -> Document:
    """Read a YAML file; :class:`ConfigError` where it cannot be read or is not YAML."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        hint = "Name it: sqlgen COMMAND path/to/models.yaml"
        hint += f". If it is a model: --select {path.name}" if not path.suffix else ""
        raise ConfigError([Problem(str(path), "", f"no such file. {hint}")]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error.strerror or error}")]) from None
    if len(content) > MOST_BYTES:
        raise ConfigError([Problem(str(path), "", f"larger than {MOST_BYTES >> 20} MB. Is it the right file?")])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"cannot be read: byte {content[error.start]:#04x} is not UTF-8. Save the file as UTF-8"
        raise ConfigError([Problem(f"{path}:{line}", "", message)]) from None
    return parse(path, text, os.environ if environ is None else environ)


def parse(path: Path, text: str, environ: Mapping[str, str] | None = None) -> Document:
    """Read the YAML ``text`` of a file; without ``environ``, variables in it stay as they are."""
    document = Document(path)
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        node = _composed(text, loader)
        document.data = _Reader(document, loader, environ).read(node, ()) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([Problem(f"{path}:{line}", "", f"not valid YAML: {error.problem}")]) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"not valid YAML: the character U+{error.character:04X} is not allowed"
        raise ConfigError([Problem(f"{path}:{line}", "", message)]) from None
    except RecursionError:
        line = loader.line + 1 if loader is not None else 1
        raise ConfigError([Problem(f"{path}:{line}", "", "not valid YAML: nested too deeply")]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigError([Problem(str(path), "", f"not valid YAML: {error}")]) from None
    return document


def _composed(text: str, loader: yaml.SafeLoader) -> yaml.Node | None:
    """The nodes of a text, from the parser in C, which is quick, where that cannot crash of deep nesting."""
    quick = getattr(yaml, "CSafeLoader", None)
    if quick is not None and text.count("[") + text.count("{") < _MOST_BRACKETS and not _DEEP.search(text):
        with contextlib.suppress(yaml.YAMLError):  # the other parser says what is wrong
            return cast("yaml.Node | None", quick(text).get_single_node())
    return loader.get_single_node()


class _Reader(Struct):
    document: Document
    loader: yaml.SafeLoader
    environ: Mapping[str, str] | None
    _around: set[int] = field(default_factory=set)
    """Nodes that are being read, by their identity: an alias to one of them is recursive."""
    _count: int = 0

    def read(self, node: yaml.Node, keys: KeyPath) -> Any:
        self.document.lines.setdefault(keys, _line(node))
        self._count += 1
        if self._count > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MOST_VALUES} values, with those that aliases (*name) repeat. Leave some out",
                problem_mark=node.start_mark,
            )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, keys)
        if id(node) in self._around:
            return self._problem(keys, _line(node), "an anchor that contains itself. Write it out")
        self._around.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, keys)
            return [self.read(item, (*keys, index)) for index, item in enumerate(node.value)]
        finally:
            self._around.discard(id(node))

    def _problem(self, keys: KeyPath, line: int, message: str) -> None:
        where = f"{self.document.path}:{line}"
        self.document.problems.append(Problem(where, ".".join(map(str, keys)), str(secrets.hidden(message))))

    def _mapping(self, node: yaml.MappingNode, keys: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(keys, _line(key_node), "a key must be a name, not a list or a mapping. Quote it")
                continue
            key = self._text(key_node.value, keys, _line(key_node))
            inner = (*keys, key)
            if key in result:
                first = self.document.lines[inner]
                self._problem(inner, _line(key_node), f"duplicate key (first on line {first}). Keep one of them")
                continue
            self.document.lines[inner] = _line(key_node)
            result[key] = self.read(value_node, inner)
        for value_node in merged:
            found = self.read(value_node, keys)
            if isinstance(found, dict):
                result = found | result
            elif found is not None:
                self._problem(keys, _line(value_node), "<< takes a mapping, or a list of mappings")
        return result

    def _scalar(self, node: yaml.ScalarNode, keys: KeyPath) -> Any:
        text, tag = node.value, node.tag
        if self.environ is not None and "${" in text:
            text = _VARIABLE.sub(lambda match: self._variable(match, keys), text)
            plain = not node.style
            tag = self.loader.resolve(yaml.ScalarNode, text, (plain, not plain))  # type: ignore[no-untyped-call]
        text = self._text(text, keys, _line(node))
        try:
            value = self.loader.construct_object(
                yaml.ScalarNode(tag, text, node.start_mark, node.end_mark, node.style), deep=True
            )
        except (yaml.YAMLError, ValueError, OverflowError, LookupError, TypeError, AttributeError) as error:
            cause = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
            kind = tag.rpartition(":")[2]
            self._problem(keys, _line(node), f"found {text[:80]!r}, which is no {kind}: {cause!s:.200}")
            return text
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            self._problem(keys, _line(node), f"found a number of {len(text)} characters, more than any setting takes")
            return 0
        return value

    def _text(self, text: str, keys: KeyPath, line: int) -> str:
        """``text`` without NUL and surrogates, which are reported as a problem."""
        bad = re.search(r"[\x00\ud800-\udfff]", text)
        if bad is None:
            return text
        self._problem(keys, line, f"the character U+{ord(bad.group()):04X} is not allowed in text")
        return re.sub(r"[\x00\ud800-\udfff]", "", text)

    def _variable(self, match: re.Match[str], keys: KeyPath) -> str:
        name, default = match.group(1), match.group(2)
        value = (self.environ or {}).get(name) or default
        if value is None:
            message = f"environment variable {name} is not set. Set it, or give a default: ${{{name}:-value}}"
            self.document.problems.append(self.document.problem(keys, message))
            return name
        if secrets.SECRET.search(name) and value != default:
            if len(value) < secrets.SHORTEST:
                message = f"{name} is a secret by its name, and too short to be kept out of messages. Rename it"
                self.document.problems.append(self.document.problem(keys, message))
            secrets.keep(name, value)
        return value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
