"""Databento's BBO, CBBO, CMBP-1, TCBBO and OHLCV, against the records that the vendor's own packages read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import databento_dbn
import pyarrow as pa
import pytest
import yaml

from tests.support.engine import published, sqlgen
from tests.support.vendors import dbn
from tests.support.vendors.databento import UNDEFINED_PRICE
from tests.support.vendors.files import save

pytestmark = pytest.mark.slow

START = 1_729_512_000 * 10**9
"""2024-10-21 12:00 UTC."""
SECOND = 10**9
COUNT = 30
Row = dict[str, Any]


def quote(i: int) -> databento_dbn.BidAskPair | databento_dbn.ConsolidatedBidAskPair:
    return databento_dbn.BidAskPair(100 * 10**9 + i * 10**7, 101 * 10**9 + i * 10**7, 5 + i, 6 + i, 1, 2)


def consolidated(i: int) -> Any:
    return databento_dbn.ConsolidatedBidAskPair(100 * 10**9 + i * 10**7, 101 * 10**9 + i * 10**7, 5 + i, 6 + i, 1, 2)


def record(schema: str, i: int) -> Any:
    """Record i of a schema; quotes of intervals carry an older trade, or none."""
    rtype = getattr(databento_dbn.RType, schema.replace("-", "_").upper())
    shared: Row = {"publisher_id": 2, "instrument_id": 38, "ts_event": START + i * SECOND}
    if schema.startswith("ohlcv"):
        prices = {
            name: 10**9 * value for name, value in (("open", 100), ("high", 103), ("low", 99), ("close", 101 + i))
        }
        return databento_dbn.OHLCVMsg(rtype=rtype, **shared, **prices, volume=1000 + i)
    shared |= {"price": UNDEFINED_PRICE if i < 3 else 100 * 10**9 + i, "size": 7, "side": databento_dbn.Side("B")}
    shared |= {"ts_recv": START + i * SECOND + 500}
    if "bbo-1" in schema:
        shared |= {"ts_event": START - SECOND, "ts_recv": START + i * SECOND}
        made = databento_dbn.CBBOMsg if schema.startswith("c") else databento_dbn.BBOMsg
        levels = consolidated(i) if schema.startswith("c") else quote(i)
        more = {} if schema.startswith("c") else {"sequence": i}
        return made(rtype=rtype, **shared, levels=levels, **more)
    action = databento_dbn.Action("T" if schema == "tcbbo" or i % 5 == 0 else "A")
    if schema == "tbbo":
        return databento_dbn.MBP1Msg(**shared, action=action, depth=0, sequence=i, levels=quote(i))
    shared |= {"publisher_id": 2 + i % 3, "action": action}
    return databento_dbn.CMBP1Msg(rtype=rtype, **shared, levels=consolidated(i))


def content(schema: str) -> bytes:
    records = [record(schema, i) for i in range(COUNT)]
    header = databento_dbn.Metadata(
        dataset="XNAS.BASIC",
        start=START,
        end=START + COUNT * SECOND,
        stype_in=databento_dbn.SType.RAW_SYMBOL,
        stype_out=databento_dbn.SType.INSTRUMENT_ID,
        schema=databento_dbn.Schema.from_str(schema),
        symbols=["AAPL"],
        mappings=[dbn._Mapping("AAPL", [dbn._Interval(dt.date(2024, 10, 21), dt.date(2024, 10, 22), "38")])],
        version=databento_dbn.DBN_VERSION,
    )
    return bytes(header) + b"".join(map(bytes, records))


def dollars(price: int) -> float | None:
    return None if price == UNDEFINED_PRICE else price / 1e9


def expected(schema: str) -> list[Row]:
    """What the vendor's decoder reads, in our columns."""
    decoder = databento_dbn.DBNDecoder()
    _, *records = decoder.write_and_decode(content(schema))
    rows = []
    for one in records:
        if schema.startswith("ohlcv"):
            prices = {name: dollars(getattr(one, name)) for name in ("open", "high", "low", "close")}
            rows.append({"ns": one.ts_event, **prices, "volume": float(one.volume)})
        else:
            level = one.levels[0]
            quotes = {"bid_price_00": dollars(level.bid_px), "ask_price_00": dollars(level.ask_px)}
            sizes = {"bid_size_00": float(level.bid_sz), "ask_size_00": float(level.ask_sz)}
            rows.append({"ns": one.ts_recv if "bbo-1" in schema else one.ts_event, **quotes, **sizes})
    return rows


ADAPTERS = {
    "bbo-1s": "bbo", "bbo-1m": "bbo", "cbbo-1s": "bbo", "cbbo-1m": "bbo", "cmbp-1": "cmbp1", "tcbbo": "cmbp1",
    "ohlcv-1s": "ohlcv", "ohlcv-1m": "ohlcv", "ohlcv-1d": "ohlcv", "tbbo": "mbp1",
}  # fmt: skip


def write(folder: Path, schema: str, form: str, below: str = "") -> None:
    made = content(schema)
    if form == "csv":
        options = {"pretty_px": True, "pretty_ts": True, "map_symbols": True}
        made = dbn.transcoded(made, databento_dbn.Encoding.CSV, databento_dbn.Compression.NONE, **options)
    elif form == "raw.csv":
        options = {"pretty_px": False, "pretty_ts": False, "map_symbols": True}
        made = dbn.transcoded(made, databento_dbn.Encoding.CSV, databento_dbn.Compression.NONE, **options)
    save(folder / f"lake/raw/{below}/xnas-basic-20241021.{schema}.{form.rpartition('.')[2]}", made)


def read(folder: Path, source: Row) -> list[Row]:
    """Canonical rows of a source, with `ns`."""
    [rows] = read_all(folder, {"s": source}).values()
    return rows


def read_all(folder: Path, sources: dict[str, Row]) -> dict[str, list[Row]]:
    """Canonical rows of each source, with `ns`."""
    own = folder / "transforms_sql/own.sql.j2"
    own.parent.mkdir(exist_ok=True)
    own.write_text("{#\ninputs: [rows]\n#}\n{{ inputs.rows }}\nORDER BY exchange, symbol, date, seq\n")
    models = {
        f"of_{name}": {"sql": "own.sql.j2", "inputs": {"rows": name}, "output": {"path": f"out/{name}"}}
        for name in sources
    }
    config = {"version": 1, "lake": "lake", "sources": sources, "models": models}
    (folder / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return {name: rows_of(folder / "lake/out" / name) for name in sources}


def rows_of(folder: Path) -> list[Row]:
    table = published(folder)
    ns = table["ts"].cast(pa.int64()).to_pylist()
    return sorted(
        ({**row, "ns": time} for row, time in zip(table.drop_columns(["ts"]).to_pylist(), ns, strict=True)),
        key=lambda row: row["seq"],
    )


FORMS = [(schema, "dbn") for schema in ADAPTERS]
FORMS += [(schema, form) for schema in ("bbo-1s", "cmbp-1", "ohlcv-1m") for form in ("csv", "raw.csv")]


def test_values_are_those_of_the_vendor_s_decoder(tmp_path: Path) -> None:
    """What `inspect` finds of one schema of each adapter reads the files of the others, too."""
    lake, inspected = tmp_path / "lake", dict[tuple[str, str], Row]()
    sources = dict[str, Row]()
    for number, (schema, form) in enumerate(FORMS):
        adapter, suffix = ADAPTERS[schema], form.rpartition(".")[2]
        write(tmp_path, schema, form, f"at{number:02}")
        if (adapter, suffix) not in inspected:
            found = sqlgen("inspect", lake / f"raw/at{number:02}", "--lake", lake, "--json").json
            beside = ["databento/trades"] if adapter in ("cmbp1", "mbp1") else []
            entries = [*found["sources"].values()]
            assert [entry["adapter"] for entry in entries] == [f"databento/{adapter}", *beside], found["findings"]
            inspected[adapter, suffix] = entries[0] | {"pattern": entries[0]["pattern"].replace(schema, "*")}
        sources[f"at{number:02}"] = inspected[adapter, suffix] | {"path": f"raw/at{number:02}"}
    for (schema, form), rows in zip(FORMS, read_all(tmp_path, sources).values(), strict=True):
        wanted = expected(schema)
        assert [{name: row[name] for name in wanted[0]} for row in rows] == wanted, (schema, form)
        assert {row["symbol"] for row in rows} == {"AAPL"}


def test_trades_of_several_venues(tmp_path: Path) -> None:
    write(tmp_path, "tcbbo", "dbn")
    source = {"path": "raw", "adapter": "databento/trades", "pattern": "*.dbn"}
    rows = read(tmp_path, source)
    _, *records = databento_dbn.DBNDecoder().write_and_decode(content("tcbbo"))
    assert [(row["ns"], row["price"], row["amount"], row["side"], row["trade_id"]) for row in rows] == [
        (one.ts_event, dollars(one.price), float(one.size), 1, None) for one in records
    ]


@pytest.mark.parametrize("schema", ["mbp-1", "trades", "bbo-1s", "cmbp-1", "ohlcv-1m"])
def test_values_are_those_of_the_vendor_s_client(schema: str, tmp_path: Path) -> None:
    client = pytest.importorskip("databento", reason="Databento's own client is not installed")
    made = content(schema if schema not in ("mbp-1", "trades") else "tbbo")
    path = tmp_path / "lake/raw/x.dbn"
    save(path, made)
    frame = client.DBNStore.from_file(path).to_df(price_type="fixed", pretty_ts=False).reset_index()
    name = {"trades": "trades"}.get(schema) or ADAPTERS[{"mbp-1": "tbbo"}.get(schema, schema)]
    rows = read(tmp_path, {"path": "raw", "adapter": f"databento/{name}", "pattern": "*.dbn"})
    columns = (
        {"close": "close"}
        if name == "ohlcv"
        else {"price": "price"}
        if name == "trades"
        else {"bid_price_00": "bid_px_00"}
    )
    for ours, theirs in columns.items():
        wanted = frame[frame["action"] == "T"] if name == "trades" else frame
        assert [row[ours] for row in rows] == [dollars(int(price)) for price in wanted[theirs]]
