"""Lines of NDJSON that no reader takes fail alone; files in another encoding are told as such."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sqlgen.sources import rawfile
from tests.support.adapters import Project, rows_of

HIVE = "exchange=x/symbol=A/date=2026-01-01"
MS = 1_767_225_600_000


def good(number: int, **more: Any) -> bytes:
    return json.dumps({"ts": MS + number, "price": number, "amount": 1, **more}).encode()


def trades(folder: Path, content: bytes, name: str = "t.ndjson") -> Project:
    project = Project.of(folder, "generic/trades")
    (project.raw / HIVE).mkdir(parents=True)
    (project.raw / HIVE / name).write_bytes(content)
    return project


BAD = {
    "a byte that is not UTF-8": (good(2)[:-1] + b', "note": "caf\xe9"}', "not UTF-8: byte 60 is 0xe9"),
    "bytes of something else": (b"\xff\xfe\x00garbage", "is NUL"),
    "a NUL": (good(2).replace(b"price", b"pr\0ce"), "byte 26 is NUL"),
    "a hole in the file": (b"\0" * 5000, "byte 1 is NUL"),
    "deep nesting": (b"[" * 200_000, "nested too deeply"),
    "deep nesting in an object": (b'{"x": ' * 50_000 + b"1" + b"}" * 50_000, "nested too deeply"),
    "a number that is too long": (good(2).replace(b"1767", b"9" * 5000), "ts is not DECIMAL(28, 9): 9999"),
    "half of a surrogate": (good(2)[:-1] + b', "note": "\\ud800"}', "half of a character"),
    "a list": (b"[1, 2]", "not a JSON object"),
    "half a line": (good(2)[:20], "not a JSON object"),
}


@pytest.mark.parametrize(("ends", "packed"), [(b"\n", False), (b"\r\n", False), (b"\n", True)])
@pytest.mark.parametrize("what", BAD)
def test_a_line_fails_alone(tmp_path: Path, what: str, ends: bytes, packed: bool) -> None:
    line, reason = BAD[what]
    content = ends.join([good(1), b"", line, good(3), line, good(5)])
    name = "t.ndjson.gz" if packed else "t.ndjson"
    project = trades(tmp_path, gzip.compress(content) if packed else content, name)
    assert [row["price"] for row in rows_of(project.run())] == [1, 3, 5]
    table = f"read_parquet('{tmp_path}/lake/out_quarantine/**/*.parquet')"
    rows = duckdb.sql(f"SELECT check_name, file, line, reason FROM {table} ORDER BY line").fetchall()
    assert [row[:3] for row in rows] == [("readable", f"raw/{HIVE}/{name}", line) for line in (3, 5)]
    assert all(reason in row[3] for row in rows), rows


def test_deep_nesting_in_what_is_not_read_is_no_fault(tmp_path: Path) -> None:
    deep = good(2)[:-1] + b', "x": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    project = trades(tmp_path, b"\n".join([good(1), deep, b"\xff", good(3)]))
    assert [row["price"] for row in rows_of(project.run())] == [1, 2, 3]


@pytest.mark.slow
def test_a_line_of_40_megabytes(tmp_path: Path) -> None:
    project = trades(tmp_path, b"\n".join([good(1), good(2, note="a" * 40_000_000), good(3)]))
    outcome = project.sqlgen("run")
    assert outcome.code == 0, outcome.out + outcome.err
    assert "line 2 of" in outcome.out
    assert f"more than {rawfile.LINE_SIZE} bytes" in " ".join(outcome.out.split())
    assert [row["price"] for row in rows_of(project.run())] == [1, 3]


@pytest.mark.parametrize("suffix", ["ndjson", "csv"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_told(tmp_path: Path, encoding: str, suffix: str) -> None:
    lines = ["ts,price,amount", f"{MS},1,1"] if suffix == "csv" else [good(i).decode() for i in (1, 2)]
    project = trades(tmp_path, "\n".join(lines).encode(encoding), f"t.{suffix}")
    said = " ".join(project.failure().split())
    assert f"t.{suffix} is text in {encoding[:6].upper()}" in said
    assert "Convert it: iconv -f UTF-" in said


@pytest.mark.parametrize("suffix", ["ndjson", "csv"])
@pytest.mark.parametrize(("encoding", "packing"), [("utf-16", ""), ("gbk", ""), ("utf-8", "bz2"), ("utf-8", "xz")])
def test_encodings_and_packings_that_are_read(tmp_path: Path, encoding: str, packing: str, suffix: str) -> None:
    """UTF-16 with its mark, GBK by the first line, bz2 and xz."""
    if suffix == "csv":
        lines = ["ts,price,amount,数量", f"{MS},1,1,x", f"{MS + 1},2,1,x"]
    else:
        lines = [json.dumps({"ts": MS + k, "price": k + 1, "amount": 1, "数量": 1}, ensure_ascii=False) for k in (0, 1)]
    content = "\n".join(lines).encode(encoding)
    pack = {"": bytes, "bz2": bz2.compress, "xz": lzma.compress}[packing]
    project = trades(tmp_path, pack(content), f"t.{suffix}{'.' + packing if packing else ''}")
    assert [row["price"] for row in rows_of(project.run())] == [1, 2]


@pytest.mark.parametrize("packing", ["bz2", "xz"])
def test_a_truncated_file_is_told(tmp_path: Path, packing: str) -> None:
    pack = {"bz2": bz2.compress, "xz": lzma.compress}[packing]
    content = pack(b"ts,price,amount\n" + b"".join(b"%d,1,1\n" % (MS + k) for k in range(50_000)))
    said = trades(tmp_path, content[: len(content) // 2], f"t.csv.{packing}").failure()
    assert "Is it cut off?" in said


def test_lines_are_numbered_as_editors_do(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\r\n\r\nb\rc\n\n d \n")
    assert list(rawfile.lines(path)) == [(1, "a"), (3, "b"), (4, "c"), (6, " d ")]
    faults = rawfile.repair(path, tmp_path / "y")
    assert (faults, (tmp_path / "y").read_bytes()) == ({}, b"a\n\nb\nc\n\n d \n")


@pytest.mark.parametrize("shift", range(4))
def test_line_ends_between_two_pieces(tmp_path: Path, shift: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * ((1 << 20) - shift) + b"\r\nb\r\n\xff\r\n")
    assert [number for number, _ in rawfile.lines(path)] == [1, 2, 3]
    assert list(rawfile.repair(path, tmp_path / "y")) == [2]


def table(folder: Path, content: str, **options: Any) -> Project:
    columns = {"ts": "time", "price": "px", "amount": "qty"}
    project = Project.of(folder, "generic/trades", options={"columns": columns, **options}, unreadable="quarantine")
    (project.raw / HIVE).mkdir(parents=True)
    (project.raw / HIVE / "t.csv").write_text(content)
    return project


PLAIN = "".join(f"{MS + k};x;{k + 1};2\n" for k in range(5000))
"""More than the first bytes, in which a dialect is looked for."""
assert len(PLAIN) > rawfile.HEAD


@pytest.mark.parametrize(
    ("rows", "options", "prices"),
    [
        (f"{MS};x;1234,56;0,5\n", {}, [1234.56]),
        (f"{MS};x;1234,56;0,5", {}, [1234.56]),
        (f"{MS};x;1;1\n{MS + 1};x;2,5;1\n", {}, [1, 2.5]),
        (f'{MS};x;1;1\n{MS + 1};"a;b";2.5;1\n', {}, [1, 2.5]),
        (f"{MS};1,2;1.5;1\n{MS + 1};3,4;2;1\n", {}, [1.5, 2]),
        (f'"{MS}";"x";"1234,56";"0,5"\n"{MS + 1}";"x";"7";"1"\n', {}, [1234.56, 7]),
        (f"{MS};x;1,5E+3;,5\n{MS + 1};x;+12,25;1e-3\n", {}, [1500, 12.25]),
        (f'{MS};x;1;1\n{MS + 1};x;"2,5";1\n', {"decimal": ","}, [1, 2.5]),
        (f"{MS};x;1.5;1\n{MS + 1};x;2.5;1\n", {"decimal": "."}, [1.5, 2.5]),
    ],
)
def test_dialects_that_one_row_shows(tmp_path: Path, rows: str, options: dict[str, Any], prices: list[float]) -> None:
    project = table(tmp_path, "time;note;px;qty\n" + rows, **options)
    assert [row["price"] for row in rows_of(project.run())] == prices


@pytest.mark.parametrize("last", ['{};"a;b";2.5;1\n', '{};x;"2.5";1', "{};x;2,5;1\n", '{};"x";"2,5";"1"\n'])
def test_a_dialect_that_only_a_late_row_shows(tmp_path: Path, last: str) -> None:
    project = table(tmp_path, "time;note;px;qty\n" + PLAIN + last.format(MS + 6000))
    assert [row["price"] for row in rows_of(project.run())] == [*range(1, 5001), 2.5]


def test_another_dialect_that_loses_rows_is_not_taken(tmp_path: Path) -> None:
    plain = PLAIN.replace(";1;2", ";1.5;2").replace(";2;2", ";2.5;2")
    project = table(tmp_path, "time;note;px;qty\n" + plain + f"{MS + 6000};x;2,5;1\n")
    assert [row["price"] for row in rows_of(project.run())] == [1.5, 2.5, *range(3, 5001)]
    [reason] = duckdb.sql(f"SELECT reason FROM read_parquet('{tmp_path}/lake/out_quarantine/**/*.parquet')").fetchall()
    assert "option 'decimal'" in reason[0]


@pytest.mark.parametrize("number", ["1.234,56", "12.234.567,5", "1,234.5"])
def test_marks_between_thousands_are_told(tmp_path: Path, number: str) -> None:
    project = table(tmp_path, f"time;note;px;qty\n{MS};x;1;1\n{MS + 1};x;{number};1\n")
    assert [row["price"] for row in rows_of(project.run())] == [1]
    [reason] = duckdb.sql(f"SELECT reason FROM read_parquet('{tmp_path}/lake/out_quarantine/**/*.parquet')").fetchall()
    assert "Marks between thousands are not read" in reason[0]
