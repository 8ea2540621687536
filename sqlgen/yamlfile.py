"""YAML that knows its lines: plain data, the line of every key, ``${VAR:-default}`` filled in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sqlgen.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass
class Document:
    """A YAML file as plain data, with the line on which each key stands."""

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
        return Problem(self.where(keys), ".".join(str(key) for key in keys), message)


def load(path: Path, environ: Mapping[str, str] | None = None) -> Document:
    """Read a YAML file; :class:`ConfigError` where it cannot be read or is not YAML."""
    document = Document(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            [Problem(str(path), "", "no such file. Name it: sqlgen COMMAND path/to/models.yaml")]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error}")]) from None
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        reader = _Reader(document, loader, os.environ if environ is None else environ)
        document.data = reader.read(node, ()) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([Problem(f"{path}:{line}", "", f"not valid YAML: {error.problem}")]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Problem(str(path), "", f"not valid YAML: {error}")]) from None
    finally:
        loader.dispose()
    return document


@dataclass
class _Reader:
    document: Document
    loader: yaml.SafeLoader
    environ: Mapping[str, str]

    def read(self, node: yaml.Node, keys: KeyPath) -> Any:
        self.document.lines.setdefault(keys, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*keys, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, keys)

    def _mapping(self, node: yaml.MappingNode, keys: KeyPath) -> dict[Any, Any]:
        self.loader.flatten_mapping(node)
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.loader.construct_object(key_node, deep=True)
            key = key if isinstance(key, str) else str(key)
            inner = (*keys, key)
            if key in result:
                first = self.document.lines[inner]
                self.document.problems.append(
                    Problem(
                        f"{self.document.path}:{key_node.start_mark.line + 1}",
                        ".".join(map(str, inner)),
                        f"the key stands twice (first on line {first}). Keep one of them",
                    )
                )
                continue
            self.document.lines[inner] = key_node.start_mark.line + 1
            result[key] = self.read(value_node, inner)
        return result

    def _scalar(self, node: yaml.Node, keys: KeyPath) -> Any:
        assert isinstance(node, yaml.ScalarNode)
        if "${" not in node.value:
            return self.loader.construct_object(node, deep=True)
        text = _VARIABLE.sub(lambda match: self._variable(match, keys), node.value)
        plain = node.style is None
        tag = self.loader.resolve(yaml.ScalarNode, text, (plain, not plain))  # type: ignore[no-untyped-call]
        return self.loader.construct_object(yaml.ScalarNode(tag, text, node.start_mark, node.end_mark, node.style))

    def _variable(self, match: re.Match[str], keys: KeyPath) -> str:
        name, default = match.group(1), match.group(2)
        value = self.environ.get(name) or default
        if value is None:
            message = f"environment variable {name} is not set. Set it, or give a default: ${{{name}:-value}}"
            self.document.problems.append(self.document.problem(keys, message))
            return name
        return value
