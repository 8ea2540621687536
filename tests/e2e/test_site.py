"""``sqlgen docs``: pages, their links, and their numbers against plain Python; the heat map of coverage."""

from __future__ import annotations

import datetime as dt
import html
import math
import random
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sqlgen.explore.columns import columns_of
from sqlgen.operate.site.graph import HEIGHT, WIDTH, drawing
from sqlgen.operate.site.heat import of_table
from sqlgen.operate.site.stats import BINS, table_stats
from sqlgen.run.engine import Engine
from tests.support.browser import Browser, Page, browser
from tests.support.engine import sqlgen
from tests.support.lakes import write_trades
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch

COSTS_WITH_KEY = (
    "SELECT exchange, symbol, date, ts, seq, price * amount AS cost, -- quote: cost\n"
    "    {{ options.key | literal }} AS token\nFROM ({{ inputs.trades }})\n"
)
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Read(HTMLParser):
    """Tags of a page: its ids and links, and whether each tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.unnamed: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self.links += [str(given[name]) for name in ("href", "src") if given.get(name)]
        if given.get("role") in ("img", "region", "group") and not given.get("aria-label"):
            self.unnamed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def amount(symbol: str, day: str, place: int) -> float:
    return round(random.Random(f"{symbol} {day} {place}").lognormvariate(0, 1), 3)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    scratch = Scratch(tmp_path_factory.mktemp("site") / "project")
    for symbol, day, count in ((BTC, DAY1, 40), (BTC, DAY2, 40), (BTC, DAY3, 10), (ETH, DAY1, 30), (ETH, DAY3, 30)):
        noon = int(dt.datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp() * 1000)
        rows = [
            {
                "timestamp": noon + 1000 * place,
                "trade_id": f"<b>{place}",
                "side": "buy",
                "price": None if place % 5 == 0 else 100.0,
                "amount": amount(symbol, day, place),
            }
            for place in range(count)
        ]
        write_trades(scratch.lake, "binance", symbol, day, rows)
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"], description='What a trade <costs> & "why"', tags=["a"])
    scratch.run()
    return scratch


@pytest.fixture(scope="module")
def site(project: Scratch) -> Path:
    outcome = sqlgen("docs", "--project", project.file)
    assert outcome.code == 0, outcome.err
    folder = project.folder / "target/docs"
    assert outcome.out.splitlines()[0] == str(folder / "index.html")
    return folder


@pytest.mark.slow
def test_pages_are_whole_and_every_link_leads_somewhere(site: Path) -> None:
    pages = {path: Read(path.read_text()) for path in site.rglob("*.html")}
    names = {str(path.relative_to(site)) for path in pages}
    expected = {"index.html", "references.html", "models/costs.html", "models/pairs.html", "sources/raw.html"}
    assert names == expected
    for path, page in pages.items():
        assert len(page.ids) == len({*page.ids}), path
        assert not page.unnamed, path
        for link in page.links:
            assert not re.match(r"\w+:|//", link), f"{path}: {link} asks a network"
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.is_file(), f"{path}: {link}"
            if anchor:
                assert anchor in pages[target].ids, f"{path}: {link}"


@pytest.mark.slow
def test_pages_tell_the_facts(site: Path) -> None:
    page = (site / "models/costs.html").read_text()
    assert "What a trade &lt;costs&gt; &amp; &#34;why&#34;" in page
    assert "<b>0" not in page, "values of rows are escaped"
    assert "kernel ledger 1: raw.amount" in page or "made of kernel ledger 1" in page
    assert "price times amount" in page
    assert '<span class="k">SELECT</span>' in page
    assert "up to date" in page
    assert "Statistics of 150 rows: all 5 partitions" in page
    assert 'aria-label="Coverage of costs: 2 symbols from 2026-01-01 to 2026-01-03, 1 days without rows"' in page
    assert "<title>binance BTC-USDT 2026-01-03: 10 rows</title>" in page
    index = (site / "index.html").read_text()
    assert "2 models from 1 source: 300 published rows" in index
    assert '["costs", "before"]' in index


def test_statistics_are_those_of_the_rows(project: Scratch) -> None:
    engine = Engine.open(project.file)
    (table,) = columns_of(engine, ["costs"])
    found = table_stats(engine, "costs", table.columns).columns
    rows = project.table("costs").to_pylist()
    costs = [row["cost"] for row in rows if row["cost"] is not None]
    cost = found["cost"]
    assert cost.nulls == pytest.approx(1 - len(costs) / len(rows))
    assert (float(cost.least), float(cost.greatest)) == (min(costs), max(costs))
    assert cost.low is not None
    assert cost.high is not None
    inside = [value for value in costs if cost.low <= value <= cost.high]
    places = [min(BINS - 1, int((value - cost.low) / (cost.high - cost.low) * BINS)) for value in inside]
    assert list(cost.bins) == np.bincount(places, minlength=BINS).tolist()
    assert cost.middle == pytest.approx(float(np.median(costs)), rel=0.1)
    assert found["symbol"].kinds == 2
    assert found["symbol"].nulls == 0


def test_the_heat_map_counts_published_rows(project: Scratch) -> None:
    found = of_table(Engine.open(project.file).table("costs"))
    cells = {(row.label, str(cell.day)): (cell.rows, cell.kind) for row in found.rows for cell in row.cells}
    assert cells == {
        ("binance BTC-USDT", DAY1): (40, "full"),
        ("binance BTC-USDT", DAY2): (40, "full"),
        ("binance BTC-USDT", DAY3): (10, "few"),
        ("binance ETH-USDT", DAY1): (30, "full"),
        ("binance ETH-USDT", DAY2): (0, "none"),
        ("binance ETH-USDT", DAY3): (30, "full"),
    }


def test_pages_tell_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hush<4f'7d1e&x"
    monkeypatch.setenv("VENDOR_TOKEN", secret)
    other = Scratch(tmp_path / "project")
    other.template("costs.sql.j2", "{#-\noptions:\n  key: {type: str, default: '', doc: k}\n-#}\n" + COSTS_WITH_KEY)
    other.model("costs", options={"key": "${VENDOR_TOKEN}"}, description="with ${VENDOR_TOKEN}")
    assert sqlgen("docs", tmp_path / "pages", "--project", other.file, "--no-stats").code == 0
    text = "".join(path.read_text() for path in (tmp_path / "pages").rglob("*.html"))
    assert "with ${VENDOR_TOKEN}" in text
    plain = html.unescape(re.sub(r"<[^>]*>", "", text))
    assert "hush" not in text
    assert "${VENDOR_TOKEN}" in plain.partition("SELECT")[2]


def test_no_stats_reads_no_rows(project: Scratch, tmp_path: Path) -> None:
    outcome = sqlgen("docs", tmp_path / "pages", "--project", project.file, "--no-stats")
    assert outcome.code == 0, outcome.err
    assert "No statistics: left out by --no-stats" in (tmp_path / "pages/models/costs.html").read_text()


def test_files_of_others_stay(project: Scratch, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    outcome = sqlgen("docs", tmp_path, "--project", project.file, "--no-stats")
    assert outcome.code == 2
    assert "is not empty, and not written by sqlgen" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_pages_of_what_is_gone_are_removed(project: Scratch, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    other = Scratch(tmp_path / "project")
    assert sqlgen("docs", folder, "--project", other.file).code == 0
    assert "nothing is published yet" in (folder / "models/pairs.html").read_text()
    (folder / "models/mine.html").write_text("mine")
    del other.config["models"]["pairs"]
    other.save()
    assert sqlgen("docs", folder, "--project", other.file).code == 0
    assert sorted(path.name for path in (folder / "models").iterdir()) == ["costs.html", "mine.html"]


def test_nodes_do_not_overlap_and_curves_join_them(project: Scratch) -> None:
    found = drawing(Engine.open(project.file).project)
    nodes = {node.name: node for node in found.nodes}
    assert nodes["raw"].x < nodes["costs"].x < nodes["pairs"].x
    assert {(start, end) for _, start, end in found.curves} == {("raw", "costs"), ("costs", "pairs")}
    boxes = [(node.x, node.y) for node in found.nodes]
    assert all(
        abs(a[0] - b[0]) >= WIDTH or abs(a[1] - b[1]) >= HEIGHT for n, a in enumerate(boxes) for b in boxes[n + 1 :]
    )
    assert found.width > max(node.x for node in found.nodes) + WIDTH


def test_heat_maps_of_coverage(project: Scratch, tmp_path: Path) -> None:
    page = tmp_path / "coverage.html"
    outcome = sqlgen("coverage", "raw", "--project", project.file, "--html", page)
    assert outcome.code == 0
    text = page.read_text()
    read = Read(text)
    assert not [link for link in read.links if not link.startswith("#")], "one page, with all that it shows"
    assert "2 symbols from 2026-01-01 to 2026-01-03, 1 days without rows" in text
    assert "<title>binance ETH-USDT 2026-01-02: no rows</title>" in text
    assert "2026-01-02: 40 rows, no rows in 23 hours" in text
    assert text.count('<rect class="gone"') == 11 + 23 + 12 + 11 + 12, "hours from the first row to the last"
    page.write_text("mine")
    assert sqlgen("coverage", "raw", "--project", project.file, "--html", page).code == 2
    assert page.read_text() == "mine"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """Chromium; the tests are skipped where none is installed."""
    with browser() as found:
        yield found


def silent(page: Page, folder: Path) -> None:
    """A page has said no error, and asked for nothing but files beside it."""
    assert page.errors == []
    outside = [url for url in page.requests if not url.startswith((folder.as_uri(), "data:", "blob:"))]
    assert outside == []


@pytest.mark.slow
def test_the_site_in_a_browser(site: Path, chrome: Browser) -> None:
    page = chrome.page()
    page.open(site / "index.html")
    light = page.value("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.value("document.documentElement.dataset.theme") == "dark"
    assert page.value("getComputedStyle(document.body).backgroundColor") != light
    assert page.value("document.getElementById('theme').getAttribute('aria-label')") == "Change to the light theme"
    page.value("(f => { f.value = 'cos'; f.dispatchEvent(new Event('input')); })(document.getElementById('find'))")
    assert page.value("document.getElementById('found').textContent") == "costs.costpairs.cost"
    page.click('.dag a[data-name="costs"]')
    page.wait("location.pathname.endsWith('/models/costs.html') && document.readyState === 'complete'")
    assert page.value("document.documentElement.dataset.theme") == "dark", "the theme is kept"
    page.value(
        "(f => { f.value = 'cost of'; f.dispatchEvent(new Event('input')); })(document.getElementById('filter'))"
    )
    assert page.value("[...document.querySelectorAll('.columns tbody tr')].filter(r => !r.hidden).length") == 1
    page.value("document.querySelector('.dag a[data-name=\"raw\"]').focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13)
    page.wait("location.pathname.endsWith('/sources/raw.html')")
    silent(page, site)


@pytest.mark.slow
def test_pages_fit_a_phone_in_light_and_dark(site: Path, chrome: Browser) -> None:
    page = chrome.page()
    for name in ("index.html", "models/costs.html", "sources/raw.html", "references.html"):
        colours = set()
        for dark in (False, True):
            page.open(site / name, width=390, height=800, dark=dark, mobile=True)
            page.value("document.documentElement.removeAttribute('data-theme')")
            assert page.value("document.documentElement.scrollWidth") <= 390, name
            colours.add(page.value("getComputedStyle(document.body).backgroundColor"))
            silent(page, site)
        assert len(colours) == 2, f"{name}: the theme of the system counts"


@pytest.mark.slow
def test_a_plot_in_a_browser(tmp_path: Path, chrome: Browser) -> None:
    project = Scratch(tmp_path / "project")
    noon = int(dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC).timestamp() * 1000)
    rows = [
        {"timestamp": noon + 1500 * n, "price": 100 + math.sin(n / 500) + amount(BTC, DAY1, n), "amount": 1.0}
        for n in range(5_000)
    ]
    write_trades(project.lake, "binance", BTC, DAY1, rows)
    target = tmp_path / "pages/plot.html"
    assert sqlgen("plot", "raw", project.file, "-o", target).code == 0
    assert "All 5,000 rows are drawn." in target.read_text()
    page = chrome.page()
    page.open(target, width=800, height=600)
    page.wait("document.documentElement.dataset.ready === 'true'")
    assert page.value("document.querySelectorAll('#plot canvas').length") > 0, "lines are drawn by WebGL"
    assert page.value("document.getElementById('plot').getAttribute('aria-label')").startswith("BTC-USDT on binance")
    colour = "getComputedStyle(document.querySelector('#plot .yaxislayer-above text')).fill"
    before = page.value(colour)
    page.click("#theme")
    page.wait(f"{colour} !== {before!r}")
    zoom = "Plotly.relayout('plot', {'xaxis.range': ['2026-01-01 13:00', '2026-01-01 14:00']})"
    page.value(f"{zoom}.then(() => 0)")
    assert page.value("document.getElementById('plot').layout.xaxis.range[0]") == "2026-01-01 13:00"
    silent(page, tmp_path)


@pytest.mark.slow
def test_heat_maps_in_a_browser(project: Scratch, tmp_path: Path, chrome: Browser) -> None:
    target = tmp_path / "coverage.html"
    assert sqlgen("coverage", "raw", "--project", project.file, "--html", target).code == 0
    page = chrome.page()
    page.open(target, width=390, height=800, mobile=True)
    assert page.value("document.documentElement.scrollWidth") <= 390
    assert page.value("document.querySelectorAll('.heat rect.none').length") == 2
    page.click("#theme")
    silent(page, tmp_path)
