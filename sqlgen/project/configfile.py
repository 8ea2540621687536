"""Loader of models.yaml: validates its fields, each error with file and line."""

from __future__ import annotations

import datetime as dt
import inspect
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sqlgen.errors import ConfigError, Problem, nearest
from sqlgen.lake.remote.address import is_remote
from sqlgen.project.config import COMPRESSION, Config, OutputDefaults
from sqlgen.project.nodes import Node
from sqlgen.templating import yamlfile
from sqlgen.templating.yamlfile import Document, KeyPath

_SHOWN = 200


def load(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Config, Document]:
    """Read and validate models.yaml; :class:`ConfigError` with every problem found."""
    document = yamlfile.load(path, environ)
    if not isinstance(document.data, dict):
        raise ConfigError([Problem(str(path), "", "must be a mapping with version, lake, sources and models")])
    data = _with_defaults(document.data)
    problems = list(document.problems)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        reported = {(problem.where, problem.path) for problem in problems}
        found = [_problem(document, details) for details in error.errors()]
        problems += [problem for problem in found if (problem.where, problem.path) not in reported]
    if problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=lambda problem: _line(problem.where)))
    return config, document


def _line(where: str) -> int:
    return int(where.rpartition(":")[2]) if where.rpartition(":")[2].isdigit() else 0


def _with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """Fill each model's output from ``defaults.output``."""
    defaults = data.get("defaults")
    common = defaults.get("output") if isinstance(defaults, dict) else None
    models = data.get("models")
    if not isinstance(common, dict) or not isinstance(models, dict):
        return data
    known = {name: value for name, value in common.items() if name in OutputDefaults.model_fields}
    filled = {}
    for name, model in models.items():
        output = model.get("output") if isinstance(model, dict) else None
        filled[name] = model | {"output": _filled(known, output)} if isinstance(output, dict) else model
    return data | {"models": filled}


def _filled(common: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    """An output with defaults, but for those of compression where it gives ``storage``, and the other way round."""
    own = {*COMPRESSION} if "storage" in output else {"storage"} if {*COMPRESSION} & {*output} else set()
    return {name: value for name, value in common.items() if name not in own} | output


def _problem(document: Document, details: ErrorDetails) -> Problem:
    keys = _yaml_keys(details["loc"], document)
    if keys not in document.lines and len(keys) == 4 and keys[2] == "output" and details["type"] != "missing":
        keys = ("defaults", "output", keys[3])
    return document.problem(keys, _message(details, keys))


def _yaml_keys(location: tuple[int | str, ...], document: Document) -> KeyPath:
    """The location without pydantic's own steps (the union branch, the validator's name)."""
    keys: KeyPath = ()
    for key in location:
        if (*keys, key) in document.lines or not (isinstance(key, str) and ("[" in key or key == "none")):
            keys = (*keys, key)
    return keys


def _message(details: ErrorDetails, keys: KeyPath) -> str:
    match details["type"]:
        case "extra_forbidden":
            allowed = sorted(_fields_at(keys[:-1]))
            return f"unknown key.{nearest(str(keys[-1]), allowed)} Allowed: {', '.join(allowed)}"
        case "missing":
            return f"missing. It is needed: {_description(keys)}"
        case "literal_error":
            expected = details["ctx"]["expected"]
            found = details["input"]
            known = [part.strip("' ") for part in expected.replace(" or ", ",").split(",")]
            return f"found {found!r:.{_SHOWN}}, allowed: {expected}.{nearest(f'{found!s:.{_SHOWN}}', known)}"
        case "value_error":
            if is_remote(str(details["input"])):  # which may hold credentials
                return f"found an address: {details['ctx']['error']}"
            return f"found {details['input']!r:.{_SHOWN}}: {details['ctx']['error']}"
        case _:
            description = _description(keys)
            scalar = details["type"] == "string_type" and isinstance(details["input"], bool | int | float | dt.date)
            return (
                f"found {details['input']!r:.{_SHOWN}}: {details['msg']}"
                + (f" ({description})" if description else "")
                + (". Write it in quotes" if scalar else "")
            )


def _models_of(annotation: Any) -> Iterator[type[Node]]:
    if inspect.isclass(annotation) and not typing.get_args(annotation) and issubclass(annotation, Node):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_of(argument)


def _node_at(keys: KeyPath) -> type[Node] | None:
    node: type[Node] | None = Config
    for key in keys:
        if node is None:
            return None
        if str(key) in node.model_fields:
            annotation = node.model_fields[str(key)].annotation
            node = next(_models_of(annotation), None)
    return node


def _fields_at(keys: KeyPath) -> list[str]:
    node = _node_at(keys)
    return list(node.model_fields) if node is not None else []


def _description(keys: KeyPath) -> str:
    node = _node_at(keys[:-1])
    known = node.model_fields.get(str(keys[-1])) if node is not None and keys else None
    return (known.description or "") if known is not None else ""
