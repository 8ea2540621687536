"""SQL expressions of models.yaml: one expression over the columns of a row, which reads nothing else."""

from __future__ import annotations

import functools
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
        row = _parser().execute("SELECT json_serialize_sql(?)", [select]).fetchone()
    except duckdb.Error as error:
        return {"error": True, "error_message": str(error).splitlines()[0]}
    found: dict[str, Any] = json.loads(row[0]) if row is not None else {}
    return found


@functools.cache
def _parser() -> duckdb.DuckDBPyConnection:
    """Connection that parses, and opens no file."""
    import duckdb

    return duckdb.connect(config={"threads": 1, "enable_external_access": False})
