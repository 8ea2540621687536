"""SQL of others, looked through before DuckDB sees it: expressions of models.yaml, and what templates read."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

_DENIED = re.compile(
    r"(read_|parquet_|sniff_|scan_|duckdb_|pragma_|pg_|has_|txid_|json_execute|current_(?!date|time|local))\w*"
    r"|\w*_scan|glob|query|query_table|getenv|getvariable|which_secret|nextval|currval|write_log"
    r"|in_search_path|add_parquet_key|checkpoint|force_checkpoint|json_serialize_plan|setval|setseed|sleep_ms|inet_\w+"
)
"""Functions that read files, settings or the catalog, or have effects. DuckDB knows some as table functions only."""
_READS = re.compile(r"read_(?!duckdb)\w+|parquet_\w+|sniff_csv|glob")
"""Table functions of paths."""
_MAKES = re.compile(
    r"unnest|range|generate_series|repeat(_row)?|histogram(_values)?|json_(each|tree)|\w+_names|test_\w+"
)
"""Table functions of what they are given, or of nothing."""
_SUSPECT = (
    *("execute", "query", "_scan", "duckdb_", "pragma_", "checkpoint", "external_", "enable_", "logs"),
    *("../", "..\\", "..'", '.."', "..$", '"./', '/."', "u&"),
)
"""Parts of texts, in lower case, that may name a file in another way than by a literal, or with ``..``."""
_READER = re.compile(r"\b(?:read_|parquet_|sniff_csv|glob)\w*")
_GIVEN = re.compile(r"\s*\(\s*(--[^\n]*\s*)?('[^']*'|\[\s*'[^']*'(,?\s*'[^']*')*\s*\])\s*[,)]")
"""Literals that a table function is given, as the macros of adapters do it."""
_LITERALS = frozenset({"CONSTANT", "list_value", "ARRAY_CONSTRUCTOR"})
_SETTINGS = frozenset({"COMPARISON", "COLUMN_REF", "CAST", "TYPE", "struct_pack", "row"})
"""Parts of a path that is written out, and of other arguments of a table function."""
_FIRST = re.compile(r"(?<=['\"])(\.\.?/)+")
"""Beginning of a path as lakes have it (``../lake``): no link comes before it."""
_TABLES = ("EMPTY", "SUBQUERY", "JOIN", "EXPRESSION_LIST", "TABLE_FUNCTION")
_TABLE_FUNCTIONS = ("unnest", "range", "generate_series")
_ONE = "Write one expression over the columns of a row, like price > 0 AND amount > 0"


@functools.cache
def fault(expression: str) -> str:
    """Problem with an expression, and what to do; empty if there is none."""
    try:
        return _fault(_parsed(f"SELECT\n{expression}\n"))
    except RecursionError:
        return f"it is nested too deeply. {_ONE}"


def reach(select: str) -> str:
    """Problem with what a SELECT reads: a path that is computed, or with ``..``; empty if there is none.

    DuckDB leaves out ``..`` before it asks whether a path is allowed, and opens it with them: behind a link they lead
    out of the lake.
    """
    if not _is_suspect(select.lower()):
        return ""
    try:
        found = _parsed(select)
        if found.get("error"):
            why = f"Parser Error: {found['error_message']}"
            return f"it cannot be looked through ({why}), and must be one SELECT. It was not run"
        return next(_reached(found["statements"]), "")
    except RecursionError:
        return "it is nested too deeply"


def _is_suspect(text: str) -> bool:
    """True if a SELECT must be parsed to know what it reads; most need not, which costs less."""
    text = _FIRST.sub("", text) if "../" in text else text
    found = any(part in text for part in _SUSPECT)
    return found or any(not _GIVEN.match(text, call.end()) for call in _READER.finditer(text))


def _reached(node: Any) -> Iterator[str]:
    """Problems with the tables and files of a parsed SELECT."""
    if isinstance(node, dict):
        if node.get("type") == "TABLE_FUNCTION" and isinstance(node.get("function"), dict):
            yield from _called(node["function"])
        elif node.get("type") == "BASE_TABLE":
            names = [str(node.get(f"{part}_name") or "") for part in ("catalog", "schema", "table")]
            yield from _above(".".join(filter(None, names)))
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _reached(value)


def _called(function: dict[str, Any]) -> Iterator[str]:
    """Problems with a table function and what it is given."""
    name = str(function.get("function_name")).lower()
    given = function.get("arguments") or function.get("children") or []
    if not _READS.fullmatch(name) and not _MAKES.fullmatch(name):
        yield f"{name}() is no table function of a template. Leave it out"
    for argument in given if _READS.fullmatch(name) else ():
        compares = argument.get("expression", argument).get("class") == "COMPARISON"  # name = value
        named = compares or bool(argument.get("name"))
        if not _is_written_out(argument, _LITERALS | _SETTINGS if named else _LITERALS):
            yield f"{name}() is given a path that is computed. Write it out, or let Jinja do so"
        yield from (problem for text in _texts(argument) for problem in _above(text))


def _is_written_out(node: Any, known: frozenset[str]) -> bool:
    """True for a literal, and what is made of literals."""
    if isinstance(node, dict):
        what = node.get("class", "CONSTANT")
        what = node.get("function_name") if what == "FUNCTION" else node.get("type") if what == "OPERATOR" else what
        return what in known and all(_is_written_out(value, known) for value in node.values())
    return not isinstance(node, list) or all(_is_written_out(value, known) for value in node)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _texts(value)


def _above(path: str) -> Iterator[str]:
    folders = itertools.dropwhile(("", ".", "..").__contains__, re.split(r"[/\\]", path))
    if ".." in folders:
        yield f"the path {path!r} has .. in it, which may lead out of the lake. Write it without"


def _fault(found: dict[str, Any]) -> str:
    """Problem with a parsed expression."""
    if found.get("error"):
        return f"it is not one SQL expression (Parser Error: {found['error_message']}). {_ONE}"
    statements = found["statements"]
    node = statements[0]["node"] if len(statements) == 1 else {}
    selected = node.get("select_list", [])
    if len(selected) != 1 or selected[0].get("alias") or not _selects_only(node):
        return f"it is more than one SQL expression. {_ONE}"
    return next(_problems(selected[0]), "")


def _selects_only(node: dict[str, Any]) -> bool:
    """True if a statement has no clause but its list of expressions."""
    plain = {"type": "SELECT_NODE", "aggregate_handling": "STANDARD_HANDLING", "from_table": {"type": "EMPTY"}}
    found = {**node, "from_table": {"type": node.get("from_table", {}).get("type")}}
    clauses = found.keys() - {*plain, "select_list"}
    return all(found[key] == value for key, value in plain.items()) and not any(_filled(found[key]) for key in clauses)


def _filled(value: Any) -> bool:
    """True if a clause of a SELECT is there: an empty one is serialized as nothing, or as empty lists."""
    return any(map(_filled, value.values())) if isinstance(value, dict) else bool(value)


def _problems(node: Any) -> Iterator[str]:
    """Parts of a parsed expression that reach beyond its row."""
    if isinstance(node, list):
        for item in node:
            yield from _problems(item)
    if not isinstance(node, dict):
        return
    name = str(node.get("function_name", "")).lower()
    if node.get("class") == "PARAMETER":
        yield f"it has a parameter (? or $1), which nothing fills in. {_ONE}"
    elif _DENIED.fullmatch(name):
        yield f"{name}() reads or changes more than a row's columns. Leave it out"
    if "query_location" in node and "sample" in node and "class" not in node:
        yield from _table(node)
    for value in node.values():
        yield from _problems(value)


def _table(node: dict[str, Any]) -> Iterator[str]:
    """Problem with what a subquery selects from: lists of the row itself are possible, tables and files are not."""
    kind = node.get("type")
    function = node.get("function") or {}
    if kind not in _TABLES or (kind == "TABLE_FUNCTION" and function.get("function_name") not in _TABLE_FUNCTIONS):
        what = function.get("function_name") or node.get("table_name") or str(kind).lower()
        yield f"its subquery reads {what}. A subquery may unnest lists of the row, and read no table or file"


def _parsed(select: str) -> dict[str, Any]:
    import duckdb

    try:
        row = _parser().cursor().execute("SELECT json_serialize_sql(?)", [select]).fetchone()  # threads parse, too
    except duckdb.Error as error:
        return {"error": True, "error_message": str(error).splitlines()[0]}
    found: dict[str, Any] = json.loads(row[0]) if row is not None else {}
    return found


@functools.cache
def _parser() -> duckdb.DuckDBPyConnection:
    """Connection that parses, and opens no file."""
    import duckdb

    return duckdb.connect(config={"threads": 1, "enable_external_access": False})
