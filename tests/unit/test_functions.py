"""The kernels as SQL functions over lists: golden values, NULL, groups, times, errors."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sqlgen
from sqlgen.functions.registration import FUNCTIONS, register
from sqlgen.templating.quoting import literal
from tests.oracles.information_bars import information_bars
from tests.support.engine import ROOT

TIMES = "[TIMESTAMP '2026-01-01 00:00:00', TIMESTAMP '2026-01-01 00:00:05', TIMESTAMP '2026-01-01 00:00:10']"
BIDS = [[(100, 2), (99.9, 3), (99.5, 5)], [(100, 1), (99.9, 3), (99.5, 5)]]
ASKS = [[(100.1, 1), (100.2, 4), (100.6, 6)], [(100.2, 4), (100.6, 6), (100.7, 2)]]


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the functions."""
    with sqlgen.connect(None) as connection:
        yield connection


def value(db: duckdb.DuckDBPyConnection, expression: str) -> Any:
    (row,) = db.execute(f"SELECT {expression}").fetchall()
    return row[0]


def books(sides: Sequence[Sequence[tuple[float, float]]]) -> str:
    levels = (", ".join(f"{{price: {price}, size: {size}}}" for price, size in side) for side in sides)
    return "[" + ", ".join(f"[{side}]" for side in levels) + "]"


def at(seconds: Sequence[float]) -> str:
    """A list of times."""
    return f"list_transform({literal(list(seconds))}, lambda s: make_timestamp_ns(CAST(s * 1e9 AS BIGINT)))"


# features.md, section 4
def test_vpin_of_the_golden_trades(db: duckdb.DuckDBPyConnection) -> None:
    """(1, 0), (1, 0), (0.5, 0.5), (0.75, 0.25): mean imbalance 0.625 once there are four buckets."""
    assert value(db, "vpin([100, 100, 100], [2.5, 0.75, 1], [1, -1, 1], buckets := 4)") == [None, None, 0.625]


def test_order_flow_of_the_golden_books(db: duckdb.DuckDBPyConnection) -> None:
    assert value(db, "ofi([100, 100], [2, 1], [100.1, 100.2], [1, 4])") == [None, 0.0]
    given = f"{books(BIDS)}, {books(ASKS)}"
    nothing, mlofi = value(db, f"mlofi({given}, levels := 3)")
    assert nothing is None
    assert mlofi == pytest.approx(4.6333993, abs=1e-7)
    assert value(db, f"mlofi({given}, levels := 3, decay := 0)") == pytest.approx([None, 10.0])
    assert value(db, f"mlofi({given})") == pytest.approx([None, mlofi]), "levels that are not there count nothing"
    assert value(db, "log_return([100.05, 100.1])") == [None, pytest.approx(4.996253e-4, abs=1e-10)]


def test_bars_of_surprise(db: duckdb.DuckDBPyConnection) -> None:
    """The bars of the kernels' oracle, in their last ticks too, as parts that are not closed."""
    rng = random.Random(6)
    tape = [{"ts": k, "price": 100.0, "amount": rng.randint(1, 9), "side": rng.choice((1, 1, -1))} for k in range(90)]
    lists = ", ".join(literal([row[name] for row in tape]) for name in ("price", "amount", "side"))
    bounds = {"initial_ticks": 9, "min_ticks": 3, "max_ticks": 20}
    for rule in ("imbalance", "run"):
        given = ", ".join([f"{name} := {value}" for name, value in bounds.items()] + ["span := 4", "unit := 'volume'"])
        parts = value(db, f"{rule}_bars({at(range(90))}, {lists}, {given})")
        expected = information_bars(tape, rule, bar_unit="volume", ewma_span=4, open_bar=True, **bounds)
        assert [part["bar_id"] for part in parts] == [part["bar_id"] for part in expected]
        assert {part["is_closed"] for part in parts} == {True, False}
        assert len({part["bar_id"] for part in parts}) > 5


def test_windows_of_order_flow(db: duckdb.DuckDBPyConnection) -> None:
    """e = (0, 4, 6) at the second book; the window that nothing has closed comes last."""
    given = f"{at([1, 2, 6])}, {books([*BIDS, BIDS[1]])}, {books([*ASKS, ASKS[1]])}"
    first, last = value(db, f"ofi_bars({given}, levels := 3, seconds := 5, fit := 60)")
    assert (first["ofi"], first["snapshot_count"], first["is_closed"]) == (0.0, 2, True)
    assert first["mean_depth"] == pytest.approx((1.5 + 3.5 + 5.5 + 2.5 + 4.5 + 3.5) / 6)
    assert (last["ofi"], last["return"], last["is_closed"], last["integrated_ofi"]) == (0.0, 0.0, False, None)
    with pytest.raises(duckdb.Error, match=r"ofi_bars: fit 10 s has 2 windows of 5 s; 3 levels need 9 to 100,000"):
        value(db, f"ofi_bars({given}, levels := 3, seconds := 5, fit := 10)")


def test_bars_conserve_volume_and_cut_trades(db: duckdb.DuckDBPyConnection) -> None:
    parts = value(db, f"volume_bars({TIMES}, [10, 11, 12], [1.5, 2, 0.75], [1, -1, NULL], size := 2)")
    told = [(part["bar_id"], part["price"], part["volume"], part["side"], part["is_closed"]) for part in parts]
    assert told == [
        (0, 10.0, 1.5, 1, True),
        (0, 11.0, 0.5, -1, True),
        (1, 11.0, 1.5, -1, True),
        (1, 12.0, 0.5, 0, True),
        (2, 12.0, 0.25, 0, False),
    ]
    whole = value(db, f"volume_bars({TIMES}, [10, 11, 12], [1.5, 2, 0.75], [1, -1, NULL], size := 2, split := FALSE)")
    assert [(part["bar_id"], part["volume"]) for part in whole] == [(0, 1.5), (0, 2.0), (1, 0.75)]
    ticks = value(db, f"tick_bars({TIMES}, [10, 11, 12], [1.5, 2, 0.75], [1, 1, 1], size := 2)")
    assert [part["bar_id"] for part in ticks] == [0, 0, 1]
    dollars = value(db, f"dollar_bars({TIMES}, [10, 11, 12], [1.5, 2, 0.75], [1, 1, 1], size := 20)")
    assert [part["value"] for part in dollars] == pytest.approx([15, 5, 17, 3, 6])


ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 4.0, 5.0, 20.0]), st.sampled_from([None, -1.5, 0.1, 0.3, 2.0, 7.0])),
    min_size=1,
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(rows=ROWS, span=st.integers(1, 12), gap=st.sampled_from([None, 4.5, 5]))
def test_windows_against_brute_force(
    db: duckdb.DuckDBPyConnection, rows: list[tuple[float, float | None]], span: int, gap: float | None
) -> None:
    times = list(itertools.accumulate(step for step, _ in rows))
    x = [number for _, number in rows]
    arguments = f"{at(times)}, {literal(x)}, {span}, max_gap := {literal(gap)}"
    total, mean, std = (value(db, f"rolling_{name}({arguments})") for name in ("sum", "mean", "std"))
    for i, now in enumerate(times):
        window: list[float] = []
        for j in range(i, -1, -1):
            if times[j] <= now - span:
                break
            if x[j] is not None:
                window.append(x[j])
            if gap is not None and j > 0 and times[j] - times[j - 1] > gap:
                break
        assert total[i] == (pytest.approx(math.fsum(window), abs=1e-12) if window else None)
        centre = math.fsum(window) / len(window) if window else None
        assert mean[i] == (pytest.approx(centre, abs=1e-12) if window else None)
        squares = math.fsum((number - centre) ** 2 for number in window) if centre is not None else 0.0
        assert std[i] == (pytest.approx(math.sqrt(squares / (len(window) - 1)), abs=1e-9) if len(window) > 1 else None)


def test_trade_flow_at_each_trade(db: duckdb.DuckDBPyConnection) -> None:
    """A trade counts itself, those of the same time before it, and none of the same time after it."""
    given = f"{at([0, 2, 2, 6, 7, 7])}, [1, 2, 1, 4, 5, 0], [1, -1, 1, NULL, 0, -1]"
    assert value(db, f"tfi({given}, 5)") == pytest.approx([1, -1 / 3, 0, -1 / 3, None, None])


def test_realized_volatility_is_the_root_of_the_squares(db: duckdb.DuckDBPyConnection) -> None:
    assert value(db, f"realized_volatility({TIMES}, [3, 4, NULL], 10)") == [3.0, 5.0, 4.0]


def test_trades_of_the_same_time_count_one_by_one(db: duckdb.DuckDBPyConnection) -> None:
    trades = "[100, 101, 102], [1, 1, 1], [1, -1, 1], buckets := 1"
    same = "TIMESTAMP '2026-01-01'"
    expected = value(db, f"vpin({trades}, bucket_volume := 1.5)")
    assert expected == [None, pytest.approx(1 / 3), pytest.approx(1 / 3)]
    assert value(db, f"vpin({trades}, bucket_volume := 1.5, ts := [{same}, {same}, {same}])") == expected


def test_a_gap_empties_the_bucket_where_times_are_known(db: duckdb.DuckDBPyConnection) -> None:
    trades = "[100, 101, 102], [0.5, 0.5, 0.5], [1, -1, -1], buckets := 1"
    assert value(db, f"vpin({trades})") == [None, 0.0, 0.0]
    assert value(db, f"vpin({trades}, ts := {at([0, 301, 302])})") == [None, 0.0, 0.0]
    assert value(db, f"vpin({trades}, ts := {at([0, 301, 302])}, max_gap := 300)") == [None, None, 1.0]
    assert value(db, f"log_return([100, 101], ts := {at([0, 301])})") == [None, None]


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMPTZ"])
def test_times_of_any_type(db: duckdb.DuckDBPyConnection, kind: str) -> None:
    times = f"list_transform({TIMES}, lambda t: CAST(t AS {kind}))"
    assert value(db, f"rolling_sum({times}, [1, 2, 4], 10)") == [1, 3, 6]


def test_times_with_zone_do_not_depend_on_the_session(db: duckdb.DuckDBPyConnection) -> None:
    """Clocks in New York go back an hour between these two."""
    cursor = db.cursor()
    cursor.execute("SET TimeZone = 'America/New_York'")
    times = "[TIMESTAMPTZ '2026-11-01 05:30:00+00', TIMESTAMPTZ '2026-11-01 06:00:00+00']"
    assert value(cursor, f"rolling_sum({times}, [1, 2], 1801, max_gap := NULL)") == [1, 3]
    assert value(cursor, f"rolling_sum({times}, [1, 2], 1800, max_gap := NULL)") == [1, 2]


def test_windows_to_the_nanosecond(db: duckdb.DuckDBPyConnection) -> None:
    for step, last in ((1_000_000_000, 2.0), (999_999_999, 3.0)):
        times = f"[make_timestamp_ns(1767225600000000000), make_timestamp_ns({1_767_225_600_000_000_000 + step})]"
        assert value(db, f"rolling_sum({times}, [1, 2], 1)") == [1.0, last]


def test_null_lists_and_empty_lists(db: duckdb.DuckDBPyConnection) -> None:
    for function in FUNCTIONS:
        names = [*function.lists, *function.trades]
        rest = ["60"] if "seconds, " in function.signature else []
        for missing in (*names, None):
            lists = [typed(name, "NULL" if name == missing else "[]") for name in names]
            found = value(db, f"{function.name}({', '.join(lists + rest)})")
            assert found == (None if missing else []), (function.name, missing)


def typed(name: str, text: str) -> str:
    sides = "STRUCT(price DOUBLE, size DOUBLE)[]"
    kinds = {"ts": "TIMESTAMP", "trade_ts": "TIMESTAMP", "bids": sides, "asks": sides}
    return f"CAST({text} AS {kinds.get(name, 'DOUBLE')}[])"


def test_values_that_are_not_known(db: duckdb.DuckDBPyConnection) -> None:
    assert value(db, f"rolling_sum({TIMES}, [1, NULL, 'nan'::DOUBLE], 60)") == [1, 1, 1]
    assert value(db, f"rolling_sum({TIMES}, [1, 'inf'::DOUBLE, 2], 60)") == [1, 1, 3]
    assert value(db, f"rolling_mean({TIMES}, [NULL, NULL, 2], 60)") == [None, None, 2]
    assert value(db, "log_return([100, 0, NULL, -1, 200])") == [None] * 4 + [pytest.approx(math.log(2))]
    assert value(db, "vpin([100, NULL, 100], [1, 5, NULL], [1, -1, -1], buckets := 1)") == [1, 1, 1]
    crossed = value(db, "ofi([100, 103, 100], [1, 1, 3], [101, 101, 101], [1, 1, 1])")
    assert crossed == [None, None, 2], "a crossed book has no mid and no flow"
    missing = f"mlofi({books(BIDS[:1])} || [NULL] || {books(BIDS[1:])}, {books([ASKS[0], [], ASKS[1]])}, levels := 3)"
    assert value(db, missing) == [None, None, pytest.approx(4.6333993, abs=1e-7)]


@pytest.mark.slow
def test_groups_do_not_mix(db: duckdb.DuckDBPyConnection) -> None:
    """More groups than DuckDB hands over at once, of 0 to 7 rows, NULL among them."""
    rng = random.Random(1)
    groups = {g: [round(rng.uniform(-5, 5), 3) for _ in range(g % 8)] for g in range(6000)}
    rows = [(g, i, x) for g, values in groups.items() for i, x in enumerate(values)]
    rng.shuffle(rows)
    cursor = db.cursor()
    cursor.execute("CREATE OR REPLACE TEMP TABLE series(g INTEGER, i INTEGER, x DOUBLE)")
    cursor.execute(
        "INSERT INTO series SELECT unnest($1), unnest($2), unnest($3)", [list(part) for part in zip(*rows, strict=True)]
    )
    found = cursor.execute(
        """
        WITH sums AS (
            SELECT g, rolling_sum(list(ts ORDER BY i), list(x ORDER BY i), 3) AS sums
            FROM (SELECT *, TIMESTAMP '2026-01-01' + to_seconds(i) AS ts FROM series)
            GROUP BY g
        )
        SELECT r.g, sums FROM range(6000) r(g) LEFT JOIN sums USING (g)
        """
    ).fetchall()
    assert len(found) == 6000
    for g, sums in found:
        expected = [math.fsum(groups[g][max(0, i - 2) : i + 1]) for i in range(g % 8)]
        assert sums == (pytest.approx(expected, abs=1e-12) if expected else None), g


def test_groups_with_options_of_their_own(db: duckdb.DuckDBPyConnection) -> None:
    query = """
        SELECT vpin([100, 100], [1, 1], [1, -1], buckets := 1, bucket_volume := volume)
        FROM (VALUES (1, 1), (2, 2), (3, 5)) t(i, volume) ORDER BY i
    """
    assert [row[0] for row in db.execute(query).fetchall()] == [[1, 1], [None, 0], [None, None]]


def test_unnested_lists_stay_side_by_side(db: duckdb.DuckDBPyConnection) -> None:
    query = """
        SELECT g, unnest(list(i ORDER BY i)) AS i, unnest(log_return(list(100 + i ORDER BY i))) AS r
        FROM (SELECT range % 3 AS g, range AS i FROM range(9)) GROUP BY g
    """
    rows = db.execute(query).fetchall()
    assert sorted(i for _, i, _ in rows) == list(range(9))
    for g, i, r in rows:
        assert i % 3 == g
        assert r == (pytest.approx(math.log((100 + i) / (97 + i))) if i >= 3 else None)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("vpin([1, 2], [1], [1, 1])", "vpin: lists of different length: prices 2, amounts 1, sides 2"),
        (
            f"vpin([1], [1], [1], ts := {TIMES})",
            "vpin: lists of different length: prices 1, amounts 1, sides 1, ts 3",
        ),
        (f"kyle_lambda({TIMES}, [1], {TIMES}, [1], [1])", "kyle_lambda: lists of different length: ts 3, mids 1"),
        (
            f"rolling_sum(list_reverse({TIMES}), [1, 2, 3], 5)",
            "rolling_sum: ts goes backwards. Order all lists by time: list(x ORDER BY ts)",
        ),
        ("rolling_sum([NULL::TIMESTAMP], [1], 5)", "rolling_sum: ts has a NULL in it"),
        (
            "vpin([1], [1], [1], bucket_volume := 0)",
            "vpin: bucket_volume is a number above 0, or 'adv/50'; found '0'",
        ),
        (
            "vpin([1], [1], [1], bucket_volume := 1e-12)",
            "vpin: bucket_volume 1e-12 is less than one lot; lot_size is 1e-08",
        ),
        (
            "vpin([1], [1], [1], buckets := 0)",
            "vpin: buckets: Input should be greater than 0, found 0 (int: number of buckets in the mean)",
        ),
        (
            "vpin([1], [1], [1], bucket_volume := 'adv/50')",
            "vpin: ts is needed for bucket_volume := 'adv/50' and classification := 'bulk'",
        ),
        ("vpin([1], [1], [1], classification := 'guess')", "vpin: classification: Input should be 'aggressor', 'tick'"),
        ("vpin([1], [1], [2])", "vpin: sides are 1 (the taker bought), -1 (sold), and 0 or NULL if unknown"),
        (
            f"volume_bars({TIMES}, [1, 1, 1], [1, 1, 1], [1, 1, 1], size := 0)",
            "volume_bars: size: Input should be greater than 0, found 0.0 (float: volume of a bar)",
        ),
        (f"rolling_sum({TIMES}, [1, 2, 3], 0.5)", "rolling_sum: seconds: Input should be a valid integer, found 0.5"),
        (f"rolling_sum({TIMES}, [1, 2, 3], NULL)", "rolling_sum: seconds is NULL"),
        (
            f"spread_regime({TIMES}, [1, 1, 1], [2, 2, 2], tight := 0.9)",
            "spread_regime: tight must be less than wide, found 0.9 and 0.8",
        ),
    ],
)
def test_errors_say_what_is_wrong(db: duckdb.DuckDBPyConnection, expression: str, message: str) -> None:
    with pytest.raises(duckdb.Error) as caught:
        value(db, expression)
    assert f"UsageError: {message}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert value(db, "log_return([1, 1])") == [None, 0.0], "the connection goes on"


def test_wrong_arguments_name_the_right_ones(db: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.BinderException, match=r"vpin\(prices, amounts, sides, ts := .*bucket_volume := 1.0"):
        value(db, "vpin([1])")


def test_registering_again_does_no_harm(db: duckdb.DuckDBPyConnection) -> None:
    register(db)
    cursor = db.cursor()
    register(cursor)
    for connection in (db, cursor):
        assert value(connection, "log_return([1, 1])") == [None, 0.0]


def test_nothing_is_written_to_a_database_file(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    for read_only in (False, True):
        with duckdb.connect(path, read_only=read_only) as connection:
            register(connection)
            assert value(connection, "log_return([1, 1])") == [None, 0.0]
    with duckdb.connect(path) as connection:
        query = "SELECT count(*) FROM duckdb_functions() WHERE database_name = 'x'"
        assert connection.execute(query).fetchall() == [(0,)]


def test_functions_tell_what_they_do(db: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT function_name, parameters, comment FROM duckdb_functions() WHERE database_name = 'memory'"
    told = {name: (parameters, comment) for name, parameters, comment in db.execute(query).fetchall()}
    assert told.keys() == {function.name for function in FUNCTIONS}
    for function in FUNCTIONS:
        assert told[function.name] == ([*function.arguments, *function.options], function.doc)


def test_every_function_is_documented() -> None:
    text = (ROOT / "docs/sql-functions.md").read_text()
    short = ("rolling_mean", "rolling_std", "ofi_impact_r2")
    for function in FUNCTIONS:
        assert f"`{function.name}`" if function.name in short else f"`{function.signature}`" in text
