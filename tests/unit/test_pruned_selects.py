"""SELECTs of one column: whatever is left out, the values stay, compared in DuckDB."""

from __future__ import annotations

from collections import Counter

import duckdb
import pytest

from sqlgen.errors import UsageError
from sqlgen.explore.lineage.pruned import pruned
from sqlgen.explore.lineage.selects import DIALECT, SelectLineage, qualified

TABLES = {"t": ["a", "b", "c"], "u": ["a", "d"]}
SELECTS = [
    "SELECT a, b + c AS s, c FROM t",
    "SELECT DISTINCT a, b FROM t",
    "SELECT a, b, sum(c) AS total FROM t GROUP BY ALL",
    "WITH g AS (SELECT a, b, count(*) AS n FROM t GROUP BY ALL) SELECT a, n FROM g",
    "SELECT b, sum(c) AS total FROM t GROUP BY 1",
    "SELECT a, unnest([b, c]) AS each FROM t",
    "WITH e AS (SELECT a, unnest([1, 2]) AS n FROM t) SELECT a FROM e",
    "WITH m AS (SELECT max(c) AS top, min(c) AS low FROM t) SELECT t.a, m.top, 1 AS one FROM t CROSS JOIN m",
    "WITH d AS (SELECT DISTINCT a, b FROM t) SELECT a FROM d",
    "SELECT a, c FROM t UNION ALL SELECT d, a FROM u",
    "WITH x AS (SELECT a, c FROM t UNION SELECT d, a FROM u) SELECT c, a FROM x",
    "SELECT a, b, c FROM t QUALIFY row_number() OVER (PARTITION BY a ORDER BY b, c) = 1",
    "SELECT a, sum(b) OVER w AS run, lag(c) OVER v AS before FROM t "
    "WINDOW w AS (PARTITION BY a ORDER BY b, c), v AS (PARTITION BY b ORDER BY c, a)",
    "SELECT t.*, u.d FROM t LEFT JOIN u USING (a)",
    "SELECT * EXCLUDE (b) FROM t",
    "SELECT * REPLACE (a + 1 AS a) FROM t",
    "SELECT a, 2 * b AS twice, twice + c AS more FROM t WHERE twice > 2",
    "SELECT a, (SELECT max(d) FROM u WHERE u.a = t.a) AS best, list_transform([b, c], lambda x: x + a) AS both FROM t",
    "WITH w AS (SELECT a, b, c FROM t) SELECT COLUMNS('[ab]') + 1, c FROM w",
    "SELECT a, b FROM t ORDER BY c, a, b LIMIT 3",
    "SELECT t.a, d FROM t ASOF LEFT JOIN u ON t.a = u.a AND t.b >= u.d",
    "SELECT a, c FROM t UNION ALL BY NAME SELECT d AS c, a FROM u",
    "WITH x AS (SELECT a, c FROM t EXCEPT SELECT d, a FROM u) SELECT a FROM x",
    "SELECT a, c FROM t EXCEPT ALL SELECT d, a FROM u",
    "WITH x AS (SELECT a, c FROM t EXCEPT ALL SELECT d, a FROM u) SELECT a FROM x",
    "WITH x AS (SELECT a, c FROM t INTERSECT ALL SELECT a, d FROM u) SELECT a FROM x",
    "SELECT a, c FROM t UNION ALL (SELECT d, a FROM u UNION SELECT 1, 1)",
    "SELECT a FROM (PIVOT t ON b USING sum(c) GROUP BY a)",
]


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    found = duckdb.connect()
    found.execute("CREATE TABLE t AS SELECT i % 3 AS a, i % 4 AS b, i * 7 % 5 AS c FROM range(23) r(i)")
    found.execute("CREATE TABLE u AS SELECT i % 3 AS a, i AS d FROM range(7) r(i)")
    return found


@pytest.mark.parametrize("sql", SELECTS)
def test_values_stay(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    whole = connection.sql(sql)
    rows = whole.fetchall()
    query = qualified(sql, TABLES, "test")
    for place, name in enumerate(connection.sql(sql).columns):
        text = pruned(query, [name.lower()]).sql(DIALECT)
        found = connection.sql(text)
        at = [column.lower() for column in found.columns].index(name.lower())
        values = Counter(str(row[at]) for row in found.fetchall())
        assert values == Counter(str(row[place]) for row in rows), text


@pytest.mark.parametrize(
    ("sql", "column", "values", "windows"),
    [
        (SELECTS[12], "run", {"b"}, {"a", "c"}),
        (SELECTS[12], "before", {"c"}, {"a", "b"}),
        (SELECTS[9], "a", {"a", "d"}, set()),
        (SELECTS[13], "d", {"d"}, set()),
        (SELECTS[15], "a", {"a"}, set()),
        (SELECTS[16], "more", {"b", "c"}, set()),
        (SELECTS[17], "both", {"a", "b", "c"}, set()),
        (SELECTS[17], "best", {"a", "d"}, set()),
        (SELECTS[18], "b", {"b"}, set()),
    ],
)
def test_columns_are_traced(sql: str, column: str, values: set[str], windows: set[str]) -> None:
    found = SelectLineage(qualified(sql, TABLES, "test")).origin(column)
    assert {name for _, name in found.columns} == values
    assert {name for _, name in found.by} == windows


def test_sql_that_cannot_be_read() -> None:
    with pytest.raises(UsageError, match="model x: its SQL cannot be read for lineage"):
        qualified("SELECT a FROM WHERE", TABLES, "model x")
