"""Files whose adapter takes the lines apart itself: what is counted, and what is set aside."""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlgen.errors import TaskError
from sqlgen.plan.selection import spelled
from sqlgen.sources import rawfile
from sqlgen.sources.decode import BadLine, Decoder
from sqlgen.templating.templates import Library
from tests.support.vendors.files import save

ADAPTER = "sources/lobster/orderbook.sql.j2"
NAME = "AAPL_2024-10-21_34200000_57600000_{}_1.csv"


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    library = Library()
    csv = library.csv(ADAPTER, {"levels": 1, "max_levels": 1})
    with duckdb.connect() as connection:
        yield Decoder(library, "csv", {"text": "VARCHAR"}, csv, connection)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".zip"])
def test_bad_lines_keep_their_place(decoder: Decoder, tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / (NAME.format("orderbook") + suffix), "4,1,3,1\n4,1,3\n4;1;3;1\n\n4,1,3,1.5\n-9,0,-9,0\n")
    decoded = decoder.decode(path, tmp_path / "x/a.parquet")
    said = "it is not 4 integers, four for each of the 1 levels that option levels gives"
    assert decoded.bad == (BadLine(2, said, "4,1,3"), BadLine(4, said, ""), BadLine(5, said, "4,1,3,1.5"))
    assert decoded.lines == 6
    assert pq.read_table(tmp_path / "x/a.parquet")["text"].to_pylist()[3:5] == [None, "4,1,3,1.5"]


def test_each_kind_of_file_has_its_own_lines(decoder: Decoder, tmp_path: Path) -> None:
    path = save(tmp_path / NAME.format("message"), "34200.5,1,7,100,10000,-1\n4,1,3,1\n")
    assert [bad.line for bad in decoder.decode(path, tmp_path / "a.parquet").bad] == [2]
    with pytest.raises(TaskError, match="none of its 2 lines can be read"):
        decoder.decode(save(tmp_path / NAME.format("orderbook"), "1,2\n3\n"), tmp_path / "a.parquet")


@given(st.lists(st.sampled_from(["4,1,3,1", "4,1,3", 'x"', "5;1;2;1", ",,,", "'"]), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_no_line_is_lost(decoder: Decoder, tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("lines")
    path = save(folder / NAME.format("orderbook"), "".join(f"{line}\n" for line in ["4,1,3,1", *lines]))
    decoded = decoder.decode(path, folder / "a.parquet")
    assert decoded.lines == len(lines) + 1
    good = {"4,1,3,1", "5;1;2;1"}
    assert [bad.line for bad in decoded.bad] == [i for i, line in enumerate(lines, 2) if line not in good]
    assert pq.read_table(folder / "a.parquet")["text"].to_pylist()[1:] == lines


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "t.csv",
            gzip.compress(b"a,b\n1,2\n", mtime=0),
            "is a gz file, by its first bytes. Give it a name that ends in .gz",
        ),
        ("t.ndjson", b"\x28\xb5\x2f\xfd\0", "is a zst file"),
        ("t.csv.gz", b"PK\3\4\0", "is a zip file"),
        ("t.csv.bz2", lzma.compress(b"1,2\n"), "is a xz file"),
        ("t.csv", b"PAR1\x15", "is a parquet file"),
        ("t.csv.gz", b"a,b\n1,2\n", "is text and no gzip file, by its first bytes. Take .gz from its name"),
        ("t.ndjson.zst", '{"é": 1}\n'.encode(), "is text and no zstd file"),
    ],
)
def test_names_that_do_not_tell_what_a_file_is(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=re.escape(f"{name} {said}")), rawfile.readable(tmp_path / name, tmp_path / "x"):
        pass


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zst", "t.csv.bz2", "t.csv.xz"])
def test_a_file_that_is_cut_off_within_its_first_bytes(tmp_path: Path, name: str) -> None:
    """The first bytes of some kinds are letters: ``(`` of zstd, ``BZh`` of bz2."""
    magic = {"gz": b"\x1f\x8b", "zst": b"\x28\xb5\x2f\xfd", "bz2": b"BZh", "xz": b"\xfd7zXZ\0"}[name[6:]]
    for size in range(1, len(magic) + 1):
        (tmp_path / name).write_bytes(magic[:size])
        with pytest.raises(TaskError, match="Fetch it again"), rawfile.readable(tmp_path / name, tmp_path / "x"):
            pass


@pytest.mark.parametrize(
    ("said", "known", "found"),
    [
        ("btc/usdt", {"BTC-USDT"}, ("BTC-USDT",)),
        ("e", {"E\u0301"}, ("e",)),
        ("\u00e9", {"E\u0301"}, ("E\u0301",)),
    ],
)
def test_an_accent_belongs_to_its_letter(said: str, known: set[str], found: tuple[str, ...]) -> None:
    assert spelled([said], known) == found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('[2026-01-02T12:00:00.5Z] {"p": 1}', '{"received_at":"2026-01-02T12:00:00.5Z","p": 1}'),
        ('2026-01-02 12:00:00,500 INFO ws.py:31 got: {"p": 1}', '{"p": 1}'),  # local time, of which zone nobody knows
        ('MS|binance|{"p": 1}', '{"received_at":"MS","p": 1}'),
        ('{"timestamp":1767355200.5,"message":{"p": 1}}', '{"received_at":"1767355200.5","p": 1}'),
        (
            '{"symbol": "X", "recv_ts": MS, "data": {"p": 1}}',
            '{"received_at":"MS","symbol": "X","p": 1}',
        ),
        (
            '{"topic":"a","partition":0,"ts":MS,"payload":"{\\"p\\":1}"}',
            '{"received_at":"MS","p":1}',
        ),
        ('{"ts":"2026-01-02 12:00:00","msg":{"p":1}}', '{"p":1}'),
        # Of venues themselves, and of tables.
        ('{"topic":"SPOT@trade","ts":MS,"data":{"p":1}}', None),
        ('{"channel":"trade","timestamp":MS,"data":{"p":1},"module":"spot"}', None),
        ('{"stream":"btcusdt@trade","data":{"p":1}}', None),
        ('{"code":"0","symbol":"X","data":{"p":1}}', None),
        ('{"ts":MS,"read":{"p":1}}', None),
        ('[{"ts":MS,"p":1}]', None),
        ("MS,9.5,1", None),
    ],
)
def test_messages_stand_alone(line: str, message: str | None) -> None:
    line, message = line.replace("MS", "1767355200500"), message and message.replace("MS", "1767355200500")
    change = rawfile.bare(f"{line}\n{line}".encode(), ("read",))
    assert (change and change(line.encode()).decode()) == message


def test_what_is_read_of_a_wrapper_stays() -> None:
    assert rawfile.bare(b'{"ts":1767355200500,"message":{"p":1}}\n', ("message",)) is None
