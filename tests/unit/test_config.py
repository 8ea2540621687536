"""models.yaml: every problem at once, each with its line, its key, what was found and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from sqlgen.compile import statements
from sqlgen.errors import ConfigError
from sqlgen.project import config, configfile, project
from sqlgen.project.model import Model
from sqlgen.project.rowchecks import Check
from sqlgen.templating import yamlfile

MINIMAL = """\
version: 1
lake: lake
sources:
  raw: {path: raw, adapter: ccxt/trades}
models:
  bars:
    sql: trades/bars.sql.j2
    inputs: {trades: raw}
    output: {path: out}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    """Messages without the folder."""
    with pytest.raises(ConfigError) as caught:
        project.load(write(tmp_path, text))
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_all_problems_at_once_in_line_order(tmp_path: Path) -> None:
    text = """\
version: 2
lake: ${SQLGEN_TEST_UNSET}
defaults:
  output: {mode: upsert, compresion: x}
sources:
  a: {path: x, adaptor: ccxt/trades}
models:
  m:
    sql: trades/bars.sql.j2
    inputs: {t: {ref: a, optinal: true}}
    tags: [1]
    schedule: sometimes
    batch_size: 5
    output: {path: x, row_group_size: abc}
    output: {}
"""
    assert problems(tmp_path, text) == [
        "models.yaml:1: version: found 2, allowed: 1.",
        "models.yaml:2: lake: environment variable SQLGEN_TEST_UNSET is not set. Set it, or give a default:"
        " ${SQLGEN_TEST_UNSET:-value}",
        "models.yaml:4: defaults.output.compresion: unknown key. Did you mean 'compression'?"
        " Allowed: compression, compression_level, float, format, keep_versions, mode, partition_by,"
        " row_group_size, storage",
        "models.yaml:4: defaults.output.mode: found 'upsert', allowed: 'overwrite', 'append' or 'merge'.",
        "models.yaml:6: sources.a.adapter: missing. It is needed:"
        " Template under transforms_sql/sources, without .sql.j2",
        "models.yaml:6: sources.a.adaptor: unknown key. Did you mean 'adapter'?"
        f" Allowed: {', '.join(sorted(config.Source.model_fields))}",
        "models.yaml:10: models.m.inputs.t.optinal: unknown key. Did you mean 'optional'?"
        " Allowed: date_end, date_start, exchange, optional, ref, symbol",
        "models.yaml:11: models.m.tags.0: found 1: Input should be a valid string. Write it in quotes",
        "models.yaml:12: models.m.schedule: found 'sometimes': not a cron expression; an example:"
        " '*/15 * * * *' (every 15 minutes)",
        "models.yaml:13: models.m.batch_size: found 5: Input should be greater than or equal to 2048 (Rows that are"
        " processed and written together (row group size where none is given))",
        "models.yaml:14: models.m.output.row_group_size: found 'abc': Input should be a valid integer, unable to parse"
        " string as an integer (Rows in a Parquet row group)",
        "models.yaml:15: models.m.output: duplicate key (first on line 14). Keep one of them",
    ]


@pytest.mark.parametrize("never", ["0 0 30 2 *", "0 0 1 1 * 0 2020"])
def test_a_schedule_that_never_comes(tmp_path: Path, never: str) -> None:
    text = f"""version: 1
lake: lake
sources: {{a: {{path: x, adapter: ccxt/trades}}}}
models: {{m: {{sql: trades/bars.sql.j2, inputs: {{trades: a}}, output: {{path: y}}, schedule: "{never}"}}}}
"""
    assert problems(tmp_path, text) == [
        f"models.yaml:4: models.m.schedule: found '{never}': a time that never comes; an example:"
        " '*/15 * * * *' (every 15 minutes)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "sql: trades/bars",
            "sql: trades/bar",
            "models.yaml:7: models.bars.sql: template 'trades/bar.sql.j2' not found",
        ),
        ("sql: trades/bars", "sql: trades/bar", "Did you mean 'trades/bars.sql.j2'?"),
        ("trades: raw", "trades: rwa", "models.bars.inputs.trades: unknown source or model 'rwa'. Did you mean 'raw'?"),
        (
            "trades: raw",
            "trade: raw",
            "template 'trades/bars.sql.j2' needs input 'trades'. Add trades: SOURCE_OR_MODEL",
        ),
        ("trades: raw", "trade: raw", "has no such input. Did you mean 'trades'? It has: trades"),
        ("sql: trades/bars", "sql: trades/bar", "Templates there are: bars/longer.sql.j2, orderbook/bars.sql.j2, "),
        ("ccxt/trades", "ccxt/trads", "Templates there are: sources/"),
        ("ccxt/trades", "ccxt/trads", "sources.raw.adapter: template 'sources/ccxt/trads.sql.j2' not found"),
        ("path: out}", "path: raw/x}", "models.yaml:9: models.bars.output.path: 'raw/x' overlaps 'raw' of sources.raw"),
        ("lake: lake", "lake: ftp://bucket", "no address of an object store that is known. Known: s3://"),
        ("lake: lake", "lake: s3:///prefix", "the address names no bucket. Write it as s3://bucket/prefix"),
        ("lake: lake", "lake: s3://key:secret@bucket/x", "an address holds no credentials and no port"),
        ("lake: lake", "lake: s3://bucket/a//b", "the prefix must be plain"),
        ("lake: lake", "lake: s3://bucket/date=1", "the prefix has characters that readers of the lake would misread"),
        ("lake: lake", "lake: s3://bucket/x\nstate: /tmp/state", "a plain path below it"),
        ("lake: lake", "lake: lake\nstate: s3://bucket/state", "must be a folder, not an address"),
        ("path: out}", "path: out/../raw}", "must be a plain path under the lake"),
        ("path: out}", "path: ./out}", "must be a plain path under the lake"),
        ("path: out}", "path: /out}", "must be a plain path under the lake"),
        ("path: out}", 'path: ""}', "must be a plain path under the lake"),
        ("path: out}", "path: out, mode: merge}", "mode merge needs key (what identifies a row) and order_by"),
        ("path: out}", "path: out, key: [ts]}", "only mode merge has a key; the mode is overwrite"),
        ("path: out}", "path: out, mode: append}", "append adds file by file and cannot look back 86400 s"),
        (
            "path: out}",
            "path: out, partition_by: [date, symbol]}",
            "exchange, symbol, date come first and in this order",
        ),
        ("path: out}", "path: out, partition_by: [date, date]}", "duplicate column: date, date"),
        ("{path: out}", "{path: out}\n    options: {fil: true}", "unknown option. Did you mean 'fill'?"),
        ("{path: out}", "{path: out}\n    options: {bar_durations: [0]}", "Input should be greater than 0, found 0"),
        ("{path: out}", "{path: out}\n    options: {bar_durations: []}", "List should have at least 1 item"),
        ("{path: out}", "{path: out}\n    options: {fill: maybe}", "found 'maybe'"),
        ("{path: out}", "{path: out}\n    depends_on: barz", "depends_on: unknown model 'barz'. Did you mean 'bars'?"),
        (
            "{path: out}",
            "{path: out}\n    depends_on: bars",
            "dependency cycle: bars -> bars. Remove one of these inputs",
        ),
        (
            "trades: raw",
            "trades: {ref: raw, optional: true}",
            "the first input sets the partitions and cannot be optional",
        ),
        (
            "trades: raw",
            "trades: {ref: raw, date_start: 2026-01-02, date_end: 2026-01-01}",
            "date_end 2026-01-01 is before date_start 2026-01-02",
        ),
        ("version: 1", "version: 1\nfoo: [", "models.yaml:4: not valid YAML"),
        ("version: 1", "- 1", "not valid YAML"),
    ],
)
def test_one_problem(tmp_path: Path, old: str, new: str, expected: str) -> None:
    found = problems(tmp_path, MINIMAL.replace(old, new))
    assert any(expected in problem for problem in found), found


def test_cyclic_models(tmp_path: Path) -> None:
    text = (
        MINIMAL
        + """\
  a: {sql: orderbook/bars.sql.j2, inputs: {hf: b}, output: {path: out_a}}
  b: {sql: orderbook/bars.sql.j2, inputs: {hf: a}, output: {path: out_b}}
"""
    )
    assert problems(tmp_path, text)[0].endswith(
        (
            "dependency cycle: a -> b -> a. Remove one of these inputs",
            "dependency cycle: b -> a -> b. Remove one of these inputs",
        )
    )


def test_two_models_cannot_share_a_folder(tmp_path: Path) -> None:
    text = MINIMAL + "  more: {sql: trades/bars.sql.j2, inputs: {trades: raw}, output: {path: out}}\n"
    assert problems(tmp_path, text) == ["models.yaml:10: models.more.output.path: 'out' overlaps 'out' of models.bars"]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.yaml: no such file"):
        project.load(tmp_path / "nothing.yaml")


def test_not_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a mapping"):
        project.load(write(tmp_path, "- a\n"))


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("${A:-lake}", {}, "lake"),
        ("${A:-lake}", {"A": "other"}, "other"),
        ("${A:-lake}", {"A": ""}, "lake"),
        ("x/${A}/y", {"A": "b"}, "x/b/y"),
        ("${A:-1}", {}, 1),
        ('"${A:-1}"', {}, "1"),
        ("${A:-true}", {}, True),
        ("${A:-}", {}, None),
    ],
)
def test_variables(tmp_path: Path, text: str, environ: dict[str, str], expected: Any) -> None:
    document = yamlfile.load(write(tmp_path, f"key: {text}\n"), environ)
    assert (document.data, document.problems) == ({"key": expected}, [])


def test_anchors_and_merges_keep_their_lines(tmp_path: Path) -> None:
    document = yamlfile.load(write(tmp_path, "a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n"))
    assert document.data == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}
    assert document.where(("b", "y")).endswith(":5")


def test_defaults_reach_every_output_and_are_overridden(tmp_path: Path) -> None:
    text = MINIMAL.replace("sources:", "defaults: {output: {compression: snappy, row_group_size: 4096}}\nsources:")
    output = configfile.load(write(tmp_path, text))[0].models["bars"].output
    assert (output.compression, output.row_group_size) == ("snappy", 4096)
    text = text.replace("path: out}", "path: out, compression: gzip}")
    output = configfile.load(write(tmp_path, text))[0].models["bars"].output
    assert (output.compression, output.row_group_size) == ("gzip", 4096)


@pytest.mark.parametrize(
    ("common", "own", "options"),
    [
        ("", "", ["FORMAT parquet", "COMPRESSION zstd", "COMPRESSION_LEVEL 3"]),
        ("", "compression: zstd, compression_level: 9", ["FORMAT parquet", "COMPRESSION zstd", "COMPRESSION_LEVEL 9"]),
        ("compression: gzip", "storage: balanced", ["FORMAT parquet", "COMPRESSION zstd", "COMPRESSION_LEVEL 3"]),
        ("storage: fast", "compression: gzip", ["FORMAT parquet", "COMPRESSION gzip"]),
        ("storage: fast", "", ["FORMAT parquet", "COMPRESSION lz4", *statements._SMALL_DICTIONARIES]),
        (
            "storage: fast",
            "storage: small",
            ["FORMAT parquet", "COMPRESSION zstd", "COMPRESSION_LEVEL 4", *statements._SMALL_DICTIONARIES],
        ),
    ],
)
def test_storage_or_compression_of_a_model_comes_before_that_of_the_defaults(
    tmp_path: Path, common: str, own: str, options: list[str]
) -> None:
    text = MINIMAL.replace("sources:", f"defaults: {{output: {{{common}}}}}\nsources:")
    text = text.replace("path: out}", f"path: out, {own}}}" if own else "path: out}")
    bars = configfile.load(write(tmp_path, text))[0].models["bars"]
    model = cast(Model, SimpleNamespace(output=bars.output, config=bars))
    assert statements.copy_options(model) == options


def test_storage_and_compression_contradict_each_other(tmp_path: Path) -> None:
    text = MINIMAL.replace("path: out}", "path: out, storage: small, compression_level: 9}")
    with pytest.raises(ConfigError, match="give either storage or compression_level"):
        configfile.load(write(tmp_path, text))


def test_checks_that_say_too_little_or_too_much(tmp_path: Path) -> None:
    text = """\
version: 1
lake: lake
sources:
  raw:
    path: raw
    adapter: ccxt/trades
    checks:
      - {check: not_nul, columns: price}
      - {check: not_null, colums: price}
      - {check: unique}
      - {check: range, columns: price}
      - {check: range, columns: price, min: 2, max: 1, seconds: 3}
      - {check: monotonic, columns: [ts, seq], on_fail: stop}
      - {check: max_gap, seconds: 0}
models: {}
"""
    assert [line.partition(" sources.raw.")[2] for line in problems(tmp_path, text)] == [
        "checks.0.check: found 'not_nul', allowed: 'not_null', 'positive', 'range', 'not_crossed', 'predicate',"
        " 'unique', 'monotonic', 'max_gap' or 'sign_audit'. Did you mean 'not_null'?",
        "checks.1.colums: unknown key. Did you mean 'columns'? Allowed: check, columns, max, min, name, on_fail,"
        " order_by, seconds, share, sql",
        "checks.2: found {'check': 'unique'}: unique needs columns",
        "checks.3: found {'check': 'range', 'columns': 'price'}: range needs min, max or both",
        "checks.4: found {'check': 'range', 'columns': 'price', 'min': 2, 'max': 1, 'seconds': 3}: min is above max;"
        " range has no seconds (it has: check, on_fail, name, columns, min, max)",
        "checks.5.on_fail: found 'stop', allowed: 'drop', 'quarantine', 'warn' or 'fail'.",
        "checks.6.seconds: found 0: Input should be greater than 0 (max_gap: the longest time between two rows;"
        " sign_audit: the age of the oldest quote)",
    ]


def test_checks_that_cannot_be_told_apart_or_name_no_column(tmp_path: Path) -> None:
    checks = "checks: [{check: positive, columns: close}, {check: positive, columns: close, on_fail: warn}]"
    text = MINIMAL.replace("    output: {path: out}", f"    {checks}\n    output: {{path: out}}")
    text = text.replace("    output:", "    columns: [exchange, symbol, date, closed]\n    output:")
    assert problems(tmp_path, text) == [
        "models.yaml:9: models.bars.checks: two checks are called 'positive(close)'. Give them a name each",
        "models.yaml:9: models.bars.checks.0: positive(close): there is no column 'close'. Did you mean 'closed'?"
        " The model keeps: exchange, symbol, date, closed",
        "models.yaml:9: models.bars.checks.1: positive(close): there is no column 'close'. Did you mean 'closed'?"
        " The model keeps: exchange, symbol, date, closed",
    ]


def test_nodes_are_frozen(tmp_path: Path) -> None:
    loaded = configfile.load(write(tmp_path, MINIMAL))[0]
    with pytest.raises(ValueError, match="frozen"):
        loaded.lake = "other"  # type: ignore[misc]


def test_every_field_has_a_description() -> None:
    schema = config.Config.model_json_schema()
    nodes = [schema, *schema["$defs"].values()]
    missing = [name for node in nodes for name, field in node["properties"].items() if "description" not in field]
    assert missing == []


def test_the_documentation_names_every_field() -> None:
    text = (Path(__file__).parents[2] / "docs/models-yaml.md").read_text()
    for node in (config.Config, config.Source, config.Input, config.ModelConfig, config.Output, Check):
        for name in node.model_fields:
            assert re.search(rf"`{name}`", text), f"{node.__name__}.{name}"


def test_the_shipped_project_is_valid_and_named_as_agreed() -> None:
    loaded = project.load(Path(__file__).parents[2] / "models.yaml")
    assert {name: model.output.path for name, model in loaded.models.items()} == {
        "ticker_features": "processed/ccxt/ticker/features",
        "trades_features": "processed/ccxt/trades/features",
        "trades_bars": "processed/ccxt/trades/bars",
        "volume_bars": "processed/ccxt/trades/volume_bars",
        "tick_bars": "processed/ccxt/trades/tick_bars",
        "dollar_bars": "processed/ccxt/trades/dollar_bars",
        "imbalance_bars": "processed/ccxt/trades/imbalance_bars",
        "run_bars": "processed/ccxt/trades/run_bars",
        "orderbook_hf": "processed/ccxt/orderbook/hf",
        "orderbook_bars": "processed/ccxt/orderbook/bars",
        "liquidity_bars": "processed/ccxt/trades/liquidity_bars",
        "event_flow_bars": "processed/ccxt/orderbook/event_flow_bars",
        "ofi_bars": "processed/ccxt/orderbook/ofi_bars",
        "orderbook_microprice": "processed/ccxt/orderbook/microprice",
        "orderbook_labels": "processed/ccxt/orderbook/labels",
        "trades_liquidity": "processed/ccxt/trades/liquidity",
    }
    assert loaded.order.index("orderbook_hf") < loaded.order.index("orderbook_bars")
    assert yaml.safe_load((Path(__file__).parents[2] / "models.yaml").read_text())["version"] == 1
