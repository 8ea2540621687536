"""Whatever stands in models.yaml, the answer is a message."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from sqlgen.errors import ConfigError, SqlgenError
from sqlgen.modeltests.file import read_tests
from sqlgen.project import project
from sqlgen.templating import yamlfile
from sqlgen.templating.templates import Library
from udfs.options import Option

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "models.yaml").read_bytes()
HEAD = "version: 1\nlake: lake\n"
MODEL = (
    "sources: {{raw: {{path: raw, adapter: ccxt/trades{source}}}}}\n"
    "models:\n  m:\n    sql: trades/features.sql.j2\n    inputs: {{trades: {{ref: raw{input}}}}}\n"
    "    output: {{path: out{output}}}\n{model}"
)


def _load(tmp_path: Path, content: bytes | str) -> str:
    """What is said of a models.yaml; empty where it loads."""
    path = tmp_path / "models.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        project.load(path)
    except SqlgenError as error:
        return str(error).replace(str(tmp_path) + "/", "")
    return ""


def _model(source: str = "", given: str = "", output: str = "", model: str = "") -> str:
    return HEAD + MODEL.format(source=source, input=given, output=output, model=model)


LAUGHS = "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))])
MERGES = "\n".join(
    ["a0: &a0 {k: v}", *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12))]
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            _model(given=", date_start: 2026-02-30"),
            "models.yaml:7: models.m.inputs.trades.date_start: found '2026-02-30'",
        ),
        (_model(model="    lookback: .inf\n"), "models.yaml:9: models.m.lookback: found inf"),
        (_model(model="    lookback: .nan\n"), "models.yaml:9: models.m.lookback: found nan"),
        (_model(model="    lookback: 1.0e+300\n"), "models.yaml:9: models.m.lookback: found 1e+300"),
        (_model(model="    options: {windows: [1000000000000]}\n"), "models.yaml:9: models.m.options"),
        (_model(model="    tags: !!int foo\n"), "models.yaml:9: models.m.tags: found 'foo', which is no int"),
        (_model(model="    tags: !!python/object:os.x {}\n"), "models.yaml:9: models.m.tags"),
        (_model(model="    tags: !!python/name:os.system x\n"), "models.yaml:9: models.m.tags"),
        (_model(model="    batch_size: " + "9" * 5000), "models.yaml:9: models.m.batch_size"),
        (_model(model="    batch_size: 0x" + "f" * 5000), "models.yaml:9: models.m.batch_size: found a number of 5002"),
        (_model(model='    description: "\\ud800"\n'), "models.yaml:9: models.m.description: the character U+D800"),
        (_model(source=', symbol: "a\\0"'), "models.yaml:3: sources.raw.symbol: the character U+0000"),
        (
            _model(source=", symbol: 600000"),
            "models.yaml:3: sources.raw.symbol: found 600000: Input should be a valid string",
        ),
        (_model(output=", path: other"), "models.yaml:8: models.m.output.path: duplicate key (first on line 8)"),
        (HEAD + "sources: &x [*x]", "models.yaml:3: sources.0: an anchor that contains itself"),
        (HEAD + "sources: &x {<<: *x}", "models.yaml:3: sources: an anchor that contains itself"),
        (HEAD + "? [a, b]\n: c", "models.yaml:3: a key must be a name"),
        (HEAD + "? {a: b}\n: c", "models.yaml:3: a key must be a name"),
        (HEAD + "? 2026-02-30\n: c", "models.yaml:3: 2026-02-30: unknown key"),
        (HEAD + "models: " + "[" * 3_000, "models.yaml:3: not valid YAML: nested too deeply"),
        (HEAD + "models:\n" + "\n".join(" " * i + " a:" for i in range(1_500)), "not valid YAML: nested too deeply"),
        (LAUGHS, f"not valid YAML: more than {yamlfile.MOST_VALUES} values"),
        (MERGES, f"not valid YAML: more than {yamlfile.MOST_VALUES} values"),
        (HEAD + "<<: 3", "models.yaml:3: << takes a mapping"),
        (HEAD + "lake: *nowhere", "models.yaml:3: not valid YAML: found undefined alias"),
        (HEAD + 'a: "\\U00110000"', "models.yaml"),
        (HEAD + "a\x00: b", "models.yaml:3: not valid YAML: the character U+0000 is not allowed"),
        (HEAD + "a\x1b: b", "models.yaml:3: not valid YAML: the character U+001B is not allowed"),
        (HEAD.encode() + b"a: \xff", "models.yaml:3: cannot be read: byte 0xff is not UTF-8. Save the file as UTF-8"),
        (HEAD.encode("utf-16"), "models.yaml:1: cannot be read: byte 0xff is not UTF-8"),
        (b"#" * (yamlfile.MOST_BYTES + 1), "models.yaml: larger than 8 MB. Is it the right file?"),
        ("[1]", "models.yaml: must be a mapping with version, lake, sources and models"),
        (HEAD.replace("lake: lake", "lake: ~/lake"), "models.yaml:2: lake: found '~/lake'"),
    ],
)
def test_what_is_said(tmp_path: Path, content: bytes | str, said: str) -> None:
    message = _load(tmp_path, content)
    assert said in message
    assert len(message) < 4_000


def test_one_mistake_is_told_once(tmp_path: Path) -> None:
    message = _load(tmp_path, _model(given=", date_start: 2026-02-30"))
    assert message.count("models.yaml:7") == 1


@pytest.mark.parametrize("ends", [b"\r\n", b"\r", b"\n"])
def test_line_ends_and_a_byte_order_mark(tmp_path: Path, ends: bytes) -> None:
    assert _load(tmp_path, b"\xef\xbb\xbf" + SHIPPED.replace(b"\n", ends)) == ""


def test_merged_keys_are_as_yaml_has_them(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]\nd: {<<: *b, w: 4}\n")
    data = yamlfile.load(path).data
    assert data["c"] == {"x": 1, "y": 1, "z": 3}
    assert list(data["d"].items()) == [("y", 2), ("z", 2), ("w", 4)]


PIECES = [
    *(b"2026-02-30", b"\x00", b"\x07", b"&a [*a]", b"&a {<<: *a}", b"[[[[", b"? [1]\n: 2", b"9" * 5000, b"!!int foo"),
    *(
        b"!!python/object:os.system {}",
        b".inf",
        b".nan",
        b"\xff",
        b"\xef\xbb\xbf",
        b'"\\ud800"',
        b'"\\0"',
        b"{}",
        b"[]",
    ),
    *(b"!!binary x", b"!!timestamp x", b"~", b"true", b"1e400", b"- a", b"a: b: c", b"${X}", b"../..", b"/etc", b"*x"),
    *(
        b"|",
        b">",
        b"@",
        b"%YAML 9",
        b"---\n",
        b"...\n",
        b"\t",
        b"!!set {a}",
        b"!!omap [a: b]",
        b"1:30",
        b"<<: 3",
        b"!!",
    ),
    *(b"\xe2\x80\xa8", b"\xc2\x85", b"!!seq x", b"!!float x", b"'", b'"', b"2026-01-01", b"0x" + b"f" * 5000, b"-1"),
]


def _mutant(chance: random.Random, text: bytes) -> bytes:
    if chance.random() < 0.4:
        changed = bytearray(text)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed)
    lines = text.split(b"\n")
    at = chance.randrange(len(lines))
    key, colon, _ = lines[at].partition(b":")
    piece = chance.choice(PIECES)
    lines[at] = key + colon + b" " + piece if colon and chance.random() < 0.7 else key[: chance.randrange(9)] + piece
    return b"\n".join(lines)


@pytest.mark.parametrize("seed", range(4))
def test_mutants_of_the_shipped_file(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        said = _load(tmp_path, _mutant(chance, SHIPPED))
        assert re.match(r"models\.yaml|$", said), said
        assert len(said) < 30_000
        said.encode()


def test_mutants_of_model_tests(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "model-tests.md").read_text()
    example = max(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL), key=len).encode()
    path = tmp_path / "tests.yaml"
    chance = random.Random(7)
    for _ in range(80):
        path.write_bytes(_mutant(chance, example))
        _, problems = read_tests([path])
        assert all(str(problem).startswith(str(path)) for problem in problems)


@pytest.mark.parametrize(
    "header", ["&a [*a]", "a: 2026-02-30", "[" * 3_000, "\x00", "options: 3", "? [1]\n: 2", "!!int foo"]
)
def test_headers_of_templates(tmp_path: Path, header: str) -> None:
    (tmp_path / "mine.sql.j2").write_text(f"{{#\n{header}\n#}}\nSELECT 1")
    with pytest.raises(SqlgenError, match=r"template 'mine.sql.j2' \(.*mine.sql.j2\): its header is not valid"):
        Library(tmp_path).header("mine.sql.j2")


def test_a_template_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "mine.sql.j2").write_bytes(b"SELECT '\xff'")
    with pytest.raises(SqlgenError, match=r"template 'mine.sql.j2' is not UTF-8"):
        Library(tmp_path).header("mine.sql.j2")


TEXT = {"default": "x", "doc": "a code"}


@pytest.mark.parametrize(
    ("option", "value", "taken"),
    [
        (Option(type="str", **TEXT), 10, "10"),
        (Option(type="str", **TEXT), 0.5, "0.5"),
        (Option(type="str", **TEXT), -3, "-3"),
        (Option(type="str", default="1", doc="a code", choices=["1", "2"]), 2, "2"),
        (Option(type="list[str]", default=["x"], doc="codes"), [2, "b", 1.5], ["2", "b", "1.5"]),
        (Option(type="map", default={}, doc="columns"), {"price": 4}, {"price": "4"}),
    ],
)
def test_numbers_are_taken_as_their_text(option: Option, value: object, taken: object) -> None:
    assert option.check(value) == taken


@pytest.mark.parametrize("value", [True, False])
def test_what_yaml_makes_of_yes_is_to_be_quoted(value: bool) -> None:
    with pytest.raises(ValueError, match=r"it is meant as text. Write it in quotes, found (True|False)"):
        Option(type="str", **TEXT).check(value)
    with pytest.raises(ValueError, match="Write it in quotes"):
        Option(type="list[str]", default=["x"], doc="codes").check([value])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Option(type="float", default=1.0, doc="seconds").check(value)


@pytest.mark.parametrize("name", ["a/b", "../x", "/etc/x", "", "a b", "1a", "a.b", "a-b", "ä", "x" * 101, "a\n"])
@pytest.mark.parametrize("kind", ["sources", "models"])
def test_names_are_identifiers(tmp_path: Path, kind: str, name: str) -> None:
    written = '"' + name.replace("\n", "\\n") + '"'
    key, value = ("raw:", written + ":") if kind == "sources" else ("  m:", "  " + written + ":")
    text = _model().replace("{" + key, "{" + value) if kind == "sources" else _model().replace(key, value)
    assert "a name is made of letters, digits and _" in _load(tmp_path, text)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"path: out": "path: .sqlgen/x"},
            "models.yaml:8: models.m.output.path: '.sqlgen/x' overlaps '.sqlgen' of state",
        ),
        ({"path: raw": "path: .sqlgen"}, "models.yaml:3: sources.raw.path: '.sqlgen' overlaps '.sqlgen' of state"),
        ({"lake: lake": "lake: lake\nstate: kept", "path: out": "path: kept/x"}, "'kept/x' overlaps 'kept' of state"),
        (
            {"lake: lake": "lake: lake\nstate: out_quarantine/s"},
            "'out_quarantine' overlaps 'out_quarantine/s' of state",
        ),
        ({"lake: lake": "lake: lake\nstate: ''"}, "models.yaml:3: state: found '': this is the lake itself"),
        ({"lake: lake": "lake: lake\nstate: ' '"}, "models.yaml:3: state: found ' ': a name of blanks alone"),
        ({"path: out": "path: out/symbol=x"}, "models.m.output.path: found 'out/symbol=x': must have no =: readers"),
        ({"lake: lake": "lake: lake\nstate: .."}, "'raw' overlaps '..' of state"),
        ({"path: out}": "path: out}\n    columns: [ts, cost, TS]"}, "models.m.columns: duplicate column: TS"),
        ({"path: out": "path: raw/x"}, "models.yaml:8: models.m.output.path: 'raw/x' overlaps 'raw' of sources.raw"),
        ({"path: out": "path: link"}, "models.yaml:8: models.m.output.path: 'link' overlaps 'raw' of sources.raw"),
    ],
)
def test_folders_of_others(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    (tmp_path / "lake" / "raw" / "deep").mkdir(parents=True)
    (tmp_path / "lake" / "link").symlink_to("raw/deep")
    text = _model()
    for old, new in changed.items():
        text = text.replace(old, new)
    assert said in _load(tmp_path, text)


def test_names_that_differ_in_case(tmp_path: Path) -> None:
    more = "  M:\n    sql: trades/features.sql.j2\n    inputs: {trades: raw}\n    output: {path: other}\n"
    message = "models.yaml:9: models.M: 'm' is the same name, as case does not count. Rename one of them"
    assert _load(tmp_path, _model() + more) == message


def test_the_error_carries_all_problems(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(_model(given=", date_start: 2026-02-30", model="    lookback: .inf\n    tags: !!int x\n"))
    with pytest.raises(ConfigError) as caught:
        project.load(path)
    assert [problem.where.rpartition(":")[2] for problem in caught.value.problems] == ["7", "9", "10"]


def test_numbers_as_options_in_models_yaml(tmp_path: Path) -> None:
    """Case F17: what the docs call a number, or codes that are numbers, need no quotes."""
    text = _model(model="    options: {buy: [2], sell: [1]}\n").replace("ccxt/trades", "generic/trades")
    assert _load(tmp_path, text) == ""
    bars = SHIPPED.replace(b"options: {max_levels: 20,", b"options: {vpin_bucket_volume: 10, max_levels: 20,", 1)
    assert bars != SHIPPED
    assert _load(tmp_path, bars) == ""
