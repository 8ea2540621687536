"""The command `columns`: a user's own templates and kernels, and what cannot be shown."""

from __future__ import annotations

import io

import pytest

from sqlgen.cli import columns as command
from sqlgen.cli.console import OutputConsole
from tests.support.scratch import LEDGER, PAIRS, Scratch

LABELS = """\
{#- description: What comes next -#}
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    lead(price) OVER (PARTITION BY exchange, symbol ORDER BY ts, seq)
        AS next_price, -- label: q: of the next trade [cf. Own 2024]
{% for h in [1, 5] %}
    amount AS "amount [{{ h }}]", -- u: over {{ h }} s | *raw* <b>
{% endfor %}
FROM (
    {{ inputs.trades }}
)
"""


@pytest.fixture
def project(scratch: Scratch) -> Scratch:
    scratch.model("costs", udfs=["ledger"])
    scratch.kernel(LEDGER)
    scratch.template("labels.sql.j2", LABELS)
    scratch.template("references.yaml", "Own 2024: 'I. Myself: On trades, 2024'\nKyle 1985: Another Kyle\n")
    scratch.model("labels", sql="labels.sql.j2", inputs={"trades": "raw"}, output={"path": "out/labels"})
    return scratch


def test_own_templates_and_kernels(project: Scratch) -> None:
    outcome = project.sqlgen("columns")
    assert (outcome.code, outcome.err) == (0, "")
    rows = [line.split("\t") for line in outcome.out.splitlines()]
    assert ["costs", "cost", "DOUBLE", "quote", "price times amount", ""] in rows
    assert ["costs", "before", "DOUBLE", "q", "cost of the row before", ""] in rows
    assert ["labels", "next_price", "DOUBLE", "q", "label: of the next trade", "cf. Own 2024"] in rows
    assert ["costs", "date", "DATE", "UTC", "date under which the row is filed", ""] in rows
    # What a model takes over is described where it comes from.
    assert ["pairs", "cost", "DOUBLE", "quote", "price times amount", ""] in rows
    assert ["pairs", "pair", "DOUBLE", "", "", ""] in rows
    assert [row[1] for row in rows if row[0] == "pairs"][-2:] == ["before", "pair"]


def test_json(project: Scratch) -> None:
    outcome = project.sqlgen("columns", "labels", "--json")
    assert outcome.code == 0
    (model,) = outcome.json["models"].items()
    assert model[0] == "labels"
    assert model[1]["columns"][5] == {
        "name": "next_price",
        "type": "DOUBLE",
        "unit": "q",
        "meaning": "label: of the next trade",
        "papers": ["cf. Own 2024"],
        "is_label": True,
    }
    assert outcome.json["references"] == {"Own 2024": "I. Myself: On trades, 2024"}


def test_markdown(project: Scratch) -> None:
    text = project.sqlgen("columns", "labels", "--markdown").out
    assert text.startswith("## labels\n\nWhat comes next (template `labels.sql.j2` over `raw`).\n\n| column |")
    assert "| `next_price` | DOUBLE | q | label: of the next trade | cf. Own 2024 |\n" in text
    assert "| `amount [1]`, `amount [5]` | DOUBLE | u | over n s \\| \\*raw\\* &lt;b> |  |\n" in text
    assert "- **Own 2024**: I. Myself: On trades, 2024\n" in text


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_terminal(project: Scratch, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = OutputConsole(file=screen, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(command, "terminal", lambda: console)
    assert project.sqlgen("columns", "labels").code == 0
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines if "amount [" in line] == ["amount", "amount"]
    text = " ".join(screen.getvalue().split())
    assert "[Own 2024] I. Myself: On trades, 2024" in text
    assert "q: price, u: size" in text


def test_columns_that_depend_on_the_data(project: Scratch) -> None:
    project.template("pairs.sql.j2", PAIRS[: PAIRS.index("SELECT *")] + "PIVOT costs ON trade_id USING sum(cost)\n")
    outcome = project.sqlgen("columns")
    assert outcome.code == 1
    assert outcome.err == "note: pairs: columns depend on the data, or on files of a source that has none yet\n"
    assert {line.split("\t")[0] for line in outcome.out.splitlines()} == {"costs", "labels"}


def test_what_is_wrong_is_told(project: Scratch) -> None:
    outcome = project.sqlgen("columns", "label")
    assert (outcome.code, "Did you mean 'labels'?" in outcome.err) == (2, True)
    project.template("labels.sql.j2", LABELS.replace("lead(price)", "lead(prise)"))
    outcome = project.sqlgen("columns")
    assert outcome.code == 2
    assert "labels.sql.j2:8: " in outcome.err
    project.template("labels.sql.j2", LABELS)
    project.template("references.yaml", "- Own 2024\n")
    outcome = project.sqlgen("columns", "labels")
    assert outcome.code == 2
    assert "transforms_sql/references.yaml:1" in outcome.err
    assert "must map keys of papers (Cont 2014) to the papers" in outcome.err


def test_nothing_is_written(project: Scratch) -> None:
    before = sorted(project.folder.rglob("*"))
    assert project.sqlgen("columns").code == 0
    after = [path for path in sorted(project.folder.rglob("*")) if "__pycache__" not in path.parts]
    assert after == before
