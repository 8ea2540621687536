"""The files of a sample lake: where they stand, what is in them, and what faults do to them."""

from __future__ import annotations

import shutil
import urllib.parse
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sqlgen.errors import UsageError
from sqlgen.sample import FAULTS, KINDS, SampleSpec, write_sample
from sqlgen.sample.faults import FaultSite, gap_periods

ROWS = 3000
SMALL: dict[str, Any] = {"symbols": ("XRP-USDT",), "days": 1, "rows_per_day": ROWS}


def read(root: Path, kind: str, name: str = "*.parquet") -> pa.Table:
    """All rows of a kind, files in path order, without partition columns."""
    files = sorted((root / "raw/ccxt" / kind).rglob(name))
    return pa.concat_tables(pq.ParquetFile(file).read() for file in files)


def written(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean")
    write_sample(root, SampleSpec(**SMALL))
    return root


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faulty")
    write_sample(root, SampleSpec(**SMALL, faults=True))
    return root


def test_the_summary_counts_what_was_written(tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    spec = SampleSpec(symbols=2, exchanges=("binance", "okx"), days=2, rows_per_day=100)
    summary = write_sample(tmp_path, spec, progress=lambda *step: steps.append(step))
    assert summary.files == len(written(tmp_path)) == 2 * 2 * 2 * 3
    assert summary.bytes == sum(map(len, written(tmp_path).values()))
    assert dict(summary.rows) == {kind: len(read(tmp_path, kind)) for kind in KINDS}
    assert summary.rows["orderbook"] == 800
    assert [step[:2] for step in steps] == [(i, 8) for i in range(1, 9)]
    assert steps[0][2] == "binance BTC-USDT 2026-01-01"


def test_the_schema_is_that_of_the_design(clean: Path) -> None:
    level = "list<element: struct<price: double, size: double>>"
    types = {kind: {field.name: str(field.type) for field in read(clean, kind).schema} for kind in KINDS}
    head = {"collected_at": "int64", "capture_ts": "timestamp[us, tz=UTC]"}
    assert types["orderbook"] == {**head, "timestamp": "int64", "nonce": "int64", "bids": level, "asks": level}
    assert list(types["trades"]) == [*head, "trade_id", "timestamp", "side", "price", "amount", "cost"]
    figures = "bid ask bid_volume ask_volume last open high low close vwap base_volume quote_volume change percentage"
    assert list(types["ticker"]) == [*head, "timestamp", *figures.split()]
    assert {types["ticker"][name] for name in figures.split()} == {"double"}


def test_rows_are_filed_under_the_date_of_their_exchange_time(tmp_path: Path) -> None:
    write_sample(tmp_path, SampleSpec(symbols=1, days=2, rows_per_day=500, start=date(2024, 2, 28)))
    for kind in KINDS:
        for day in (date(2024, 2, 28), date(2024, 2, 29)):
            folder = tmp_path / f"raw/ccxt/{kind}/exchange=binance/symbol=BTC-USDT/date={day}"
            times = pq.ParquetFile(folder / "data.parquet").read()["timestamp"].to_pylist()
            assert {datetime.fromtimestamp(ms / 1000, UTC).date() for ms in times} == {day}
            assert times == sorted(times)


def test_hourly_folders_hold_the_same_rows(clean: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, SampleSpec(**SMALL, layout="ymdh"))
    for kind in KINDS:
        hours = sorted((tmp_path / "raw/ccxt" / kind).rglob("hour=*"), key=lambda path: int(path.name[5:]))
        assert [path.name for path in hours] == [f"hour={hour}" for hour in range(24)]
        assert hours[13].parts[-4:] == ("year=2026", "month=1", "day=1", "hour=13")
        tables = [pq.ParquetFile(path / "data.parquet").read() for path in hours]
        assert pa.concat_tables(tables).equals(read(clean, kind))


def test_json_holds_the_same_rows(clean: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, SampleSpec(**SMALL, format="ndjson"))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for kind in KINDS:
            (file,) = (tmp_path / "raw/ccxt" / kind).rglob("*.ndjson")
            expected = read(clean, kind)
            connection.register("expected", expected)
            types = connection.sql("FROM expected").types
            columns = dict(zip(expected.schema.names, map(str, types), strict=True))
            found = connection.sql(f"FROM read_json('{file}', hive_partitioning=false, columns={columns})")
            assert found.to_arrow_table().cast(expected.schema).equals(expected)


def test_numbers_print_as_multiples_of_tick_and_lot(clean: Path) -> None:
    bids = read(clean, "orderbook")["bids"].combine_chunks().flatten()
    assert all(len(repr(price).split(".")[1]) <= 4 for price in bids.field("price").to_pylist())
    assert all(size == int(size) > 0 for size in bids.field("size").to_pylist())


def test_the_ticker_quotes_the_book(clean: Path) -> None:
    book, ticker = read(clean, "orderbook").to_pylist(), read(clean, "ticker").to_pylist()
    at = {row["timestamp"]: row for row in book}
    assert len(ticker) == ROWS / 4
    for row in ticker:
        bid, ask = at[row["timestamp"]]["bids"][0], at[row["timestamp"]]["asks"][0]
        assert (row["bid"], row["bid_volume"]) == (bid["price"], bid["size"])
        assert (row["ask"], row["ask_volume"]) == (ask["price"], ask["size"])


def test_the_ticker_sums_up_the_trades(clean: Path) -> None:
    row = read(clean, "ticker").to_pylist()[-1]
    trades = [trade for trade in read(clean, "trades").to_pylist() if trade["timestamp"] <= row["timestamp"]]
    prices = [trade["price"] for trade in trades]
    assert (row["open"], row["last"], row["close"]) == (prices[0], prices[-1], prices[-1])
    assert (row["high"], row["low"]) == (max(prices), min(prices))
    assert row["base_volume"] == pytest.approx(sum(trade["amount"] for trade in trades))
    assert row["quote_volume"] == pytest.approx(sum(trade["cost"] for trade in trades))
    assert row["vwap"] == pytest.approx(row["quote_volume"] / row["base_volume"], abs=1e-6)
    assert row["change"] == pytest.approx(row["last"] - row["open"])
    assert row["percentage"] == pytest.approx(100 * row["change"] / row["open"], abs=1e-3)


def test_a_row_is_captured_soon_after_it_happened(clean: Path) -> None:
    for kind in KINDS:
        table = read(clean, kind)
        delays = pc.subtract(table["collected_at"], table["timestamp"])
        assert pc.min(delays).as_py() >= 5
        assert 20 < pc.quantile(delays, 0.5)[0].as_py() < 60
        captured = table["capture_ts"].cast(pa.int64()).to_pylist()
        assert captured == sorted(captured)
        assert [us // 1000 for us in captured] == table["collected_at"].to_pylist()


def test_trades_carry_their_cost_and_a_running_id(clean: Path) -> None:
    trades = read(clean, "trades").to_pylist()
    ids = [int(trade["trade_id"]) for trade in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert {trade["side"] for trade in trades} == {"buy", "sell"}
    assert all(trade["cost"] == pytest.approx(trade["price"] * trade["amount"]) for trade in trades)


def test_the_same_spec_gives_the_same_bytes(clean: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, SampleSpec(**SMALL))
    assert written(tmp_path) == written(clean)


@pytest.mark.parametrize("faults", [False, True])
def test_a_partition_does_not_depend_on_what_else_is_asked_for(tmp_path: Path, *, faults: bool) -> None:
    few = SampleSpec(symbols=("XRP-USDT",), days=1, rows_per_day=300, faults=faults)
    many = SampleSpec(
        symbols=("BTC-USDT", "XRP-USDT"), exchanges=("okx", "binance"), days=2, rows_per_day=300, faults=faults
    )
    write_sample(tmp_path / "few", few)
    write_sample(tmp_path / "many", many)
    alone, together = written(tmp_path / "few"), written(tmp_path / "many")
    assert alone == {name: together[name] for name in alone}


def test_another_seed_gives_another_market(clean: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, SampleSpec(**SMALL, seed=1))
    assert not read(tmp_path, "trades")["price"].equals(read(clean, "trades")["price"])


@pytest.mark.parametrize("name", ["O'REILLY\"/x", "100%*?[a]", "a=b\\c", "BTC/USDT:USDT", "Ω"])
def test_any_printable_name_survives_the_path(tmp_path: Path, name: str) -> None:
    write_sample(tmp_path, SampleSpec(symbols=(name,), exchanges=(name,), days=1, rows_per_day=20))
    (file,) = (tmp_path / "raw/ccxt/ticker").rglob("*.parquet")
    assert [urllib.parse.unquote(part) for part in file.parts[-4:-2]] == [f"exchange={name}", f"symbol={name}"]
    with duckdb.connect() as connection:
        glob = f"{tmp_path}/raw/ccxt/ticker/*/*/*/*.parquet"
        found = connection.execute(
            "SELECT DISTINCT exchange, symbol FROM read_parquet(?, hive_partitioning = true)", [glob]
        ).fetchall()
    assert found == [(name, name)]


class TestFaults:
    """Each fault, at the rate its description says."""

    def only(self, tmp_path: Path, *names: str) -> Path:
        assert set(names) <= set(FAULTS)
        write_sample(tmp_path, SampleSpec(**SMALL, faults=names))
        return tmp_path

    def test_no_fault_without_being_asked(self, clean: Path) -> None:
        book = read(clean, "orderbook")
        assert len(book) == ROWS
        assert set(pc.list_value_length(book["bids"]).to_pylist()) == {20}
        assert set(pc.list_value_length(book["asks"]).to_pylist()) == {20}
        assert all(row["bids"][0]["price"] < row["asks"][0]["price"] for row in book.to_pylist())
        assert all(read(clean, kind)["timestamp"].null_count == 0 for kind in KINDS)
        assert read(clean, "trades")["side"].null_count == 0
        assert not list(clean.rglob("late*"))

    def test_missing_levels(self, tmp_path: Path, clean: Path) -> None:
        book, whole = read(self.only(tmp_path, "missing_levels"), "orderbook"), read(clean, "orderbook")
        short = 0
        for row, full in zip(book.to_pylist(), whole.to_pylist(), strict=True):
            for side in ("bids", "asks"):
                assert 1 <= len(row[side]) <= 20
                assert row[side] == full[side][: len(row[side])]
            short += len(row["bids"]) < 20 or len(row["asks"]) < 20
        assert 0.002 < short / ROWS < 0.01

    def test_one_sided(self, tmp_path: Path) -> None:
        rows = read(self.only(tmp_path, "one_sided"), "orderbook").to_pylist()
        empty = [row for row in rows if not row["bids"] or not row["asks"]]
        assert 1 <= len(empty) < 0.006 * ROWS
        assert all(row["bids"] or row["asks"] for row in rows)

    @pytest.mark.slow
    def test_one_sided_books_are_empty_lists_or_null(self, tmp_path: Path) -> None:
        spec = SampleSpec(symbols=("XRP-USDT",), days=1, rows_per_day=20_000, faults=("one_sided",))
        write_sample(tmp_path, spec)
        rows = read(tmp_path, "orderbook").to_pylist()
        sides = [row[side] for row in rows for side in ("bids", "asks")]
        assert None in sides
        assert [] in sides

    def test_crossed(self, tmp_path: Path) -> None:
        rows = read(self.only(tmp_path, "crossed"), "orderbook").to_pylist()
        spreads = [round(1e4 * (row["asks"][0]["price"] - row["bids"][0]["price"])) for row in rows]
        assert 1 <= sum(spread <= 0 for spread in spreads) < 0.006 * ROWS
        assert min(spreads) >= -3
        prices = [[level["price"] for level in row["bids"]] for row in rows]
        assert all(side == sorted(side, reverse=True) for side in prices)

    @pytest.mark.parametrize("kind", KINDS)
    def test_duplicates(self, tmp_path: Path, clean: Path, kind: str) -> None:
        rows = read(self.only(tmp_path, "duplicates"), kind).to_pylist()
        twice = [i for i in range(1, len(rows)) if rows[i] == rows[i - 1]]
        assert 1 <= len(twice) < 0.01 * len(rows)
        assert [row for i, row in enumerate(rows) if i not in set(twice)] == read(clean, kind).to_pylist()

    @pytest.mark.slow
    def test_gaps(self, tmp_path: Path, clean: Path) -> None:
        root = self.only(tmp_path, "gaps")
        place = FaultSite(0, "binance", "XRP-USDT", date(2026, 1, 1), "trades")
        periods = gap_periods(place.random("gaps"))
        assert 1 <= len(periods) <= 2
        midnight = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000
        for kind in KINDS:
            kept = [
                row
                for row in read(clean, kind).to_pylist()
                if not any(start <= row["timestamp"] - midnight < end for start, end in periods)
            ]
            assert read(root, kind).to_pylist() == kept
        assert all(timedelta(milliseconds=end - start).total_seconds() > 300 for start, end in periods)

    @pytest.mark.slow
    @pytest.mark.parametrize("layout", ["date", "ymdh"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_late_file(self, tmp_path: Path, clean: Path, kind: str, layout: str) -> None:
        write_sample(tmp_path, SampleSpec(**SMALL, layout=layout, faults=("late_file",)))
        (late,) = (tmp_path / "raw/ccxt" / kind).rglob("late.parquet")
        rows = pq.ParquetFile(late).read().to_pylist()
        beside = pq.ParquetFile(late.with_name("data.parquet")).read().to_pylist()
        assert 1 <= len(rows) <= 0.02 * len(read(clean, kind))
        assert rows[-1]["timestamp"] <= beside[-1]["timestamp"]
        both = sorted(read(tmp_path, kind).to_pylist(), key=str)
        assert both == sorted(read(clean, kind).to_pylist(), key=str)

    @pytest.mark.parametrize("kind", KINDS)
    def test_null_timestamp(self, tmp_path: Path, clean: Path, kind: str) -> None:
        table = read(self.only(tmp_path, "null_timestamp"), kind)
        assert 1 <= table["timestamp"].null_count < 0.01 * len(table)
        assert table["collected_at"].equals(read(clean, kind)["collected_at"])

    def test_unknown_side(self, tmp_path: Path) -> None:
        sides = read(self.only(tmp_path, "unknown_side"), "trades")["side"]
        assert 1 <= sides.null_count < 0.015 * len(sides)

    def test_all_of_them_together(self, faulty: Path, clean: Path) -> None:
        book = read(faulty, "orderbook")
        assert 0.95 * ROWS < len(book) < 1.01 * ROWS
        assert book["timestamp"].null_count > 0
        assert len(list(faulty.rglob("late.parquet"))) == len(KINDS)
        assert set(written(clean)) < set(written(faulty))

    @pytest.mark.parametrize("rows", [1, 2, 3, 7])
    def test_tiny_lakes_bear_them(self, tmp_path: Path, rows: int) -> None:
        for layout in ("date", "ymdh"):
            spec = SampleSpec(symbols=1, days=3, rows_per_day=rows, layout=layout, faults=True)
            assert write_sample(tmp_path / layout, spec).rows["orderbook"] <= 6 * rows


class TestTargets:
    """Folders that must not be written, and folders that cannot be."""

    def test_raw_data_is_not_mixed_with_a_sample(self, tmp_path: Path) -> None:
        (tmp_path / "raw/mine").mkdir(parents=True)
        (tmp_path / "raw/mine/book.parquet").write_bytes(b"mine")
        with pytest.raises(UsageError, match=r"already holds files \(mine/book\.parquet\)"):
            write_sample(tmp_path, SampleSpec(**SMALL))
        assert written(tmp_path) == {"raw/mine/book.parquet": b"mine"}

    def test_empty_folders_are_no_data(self, tmp_path: Path) -> None:
        (tmp_path / "raw/ccxt/orderbook").mkdir(parents=True)
        assert write_sample(tmp_path, SampleSpec(symbols=1, days=1, rows_per_day=5)).files > 0

    def test_overwriting_replaces_the_sample_and_nothing_else(self, tmp_path: Path) -> None:
        write_sample(tmp_path, SampleSpec(symbols=2, days=2, rows_per_day=10))
        (tmp_path / "raw/mine.parquet").write_bytes(b"mine")
        spec = SampleSpec(symbols=("XRP-USDT",), days=1, rows_per_day=10)
        summary = write_sample(tmp_path, spec, overwrite=True)
        assert len(written(tmp_path)) == summary.files + 1
        shutil.rmtree(tmp_path / "raw/ccxt")
        assert written(tmp_path) == {"raw/mine.parquet": b"mine"}

    @pytest.mark.parametrize("form", ["parquet", "ndjson"])
    def test_a_file_in_the_way(self, tmp_path: Path, form: str) -> None:
        (tmp_path / "raw").write_bytes(b"")
        with pytest.raises(UsageError, match="cannot write"):
            write_sample(tmp_path, SampleSpec(**SMALL, format=form))
