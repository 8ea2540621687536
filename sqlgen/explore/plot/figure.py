"""A plot as a figure of plotly, without colours of a theme, which the page sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sqlgen.explore.plot.panels import Panel
from sqlgen.explore.plot.picture import PlotPicture
from sqlgen.explore.plot.rows import Book

UP, DOWN, FLAT = "#16a37b", "#e0524d", "#8a8f98"
COLOURS = ("#3b82f6", "#e8912d", "#8b5cf6", "#14a3a3", "#d6487e")
BUY = ("buy_volume", "total_bid_depth", "mean_total_bid_depth", "bid_size_00", "bid_volume", "bid")
SELL = ("sell_volume", "total_ask_depth", "mean_total_ask_depth", "ask_size_00", "ask_volume", "ask")
_PRICE, _BOOK, _PANEL, _TITLE = 340, 300, 128, 34
"""Heights of panels and of their titles, in pixels."""
_MARGINS = (8, 36)
"""Above and below."""
Trace = dict[str, Any]


def figure(picture: PlotPicture) -> dict[str, Any]:
    """Data and layout of the figure, with its height in pixels."""
    rows = [*_rows(picture)]
    height = sum(pixels + _TITLE for _, pixels, _ in rows)
    layout: dict[str, Any] = {
        "template": None,
        "height": height + sum(_MARGINS),
        "margin": {"l": 64, "r": 18, "t": _MARGINS[0], "b": _MARGINS[1]},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "dragmode": "zoom",
        "bargap": 0.1,
        "barmode": "stack",
        "showlegend": False,
        "annotations": [],
    }
    traces: list[Trace] = []
    top = float(height)
    for number, (title, pixels, found) in enumerate(rows, 1):
        of = number if number > 1 else ""
        domain = [max(0.0, (top - _TITLE - pixels) / height), (top - _TITLE) / height]
        layout[f"yaxis{of}"] = {"domain": domain, "anchor": "x", "zeroline": False, "automargin": False, "nticks": 6}
        traces += (trace | {"xaxis": "x", "yaxis": f"y{of}"} for trace in found)
        layout["annotations"].append(_label(title, found, domain[1]))
        top -= pixels + _TITLE
    layout["xaxis"] = {
        "type": "date",
        "anchor": f"y{len(rows) if len(rows) > 1 else ''}",
        "rangeslider": {"visible": False},
        "showspikes": True,
        "spikemode": "across",
        "spikethickness": 1,
        "spikedash": "dot",
        "hoverformat": "%Y-%m-%d %H:%M:%S.%L UTC",
    }
    return {"data": traces, "layout": layout}


def _label(title: str, traces: list[Trace], top: float) -> dict[str, Any]:
    """Title of a panel, with the names of its lines in their colours."""
    named = [trace for trace in traces if trace.get("meta")]
    names = " ".join(f'<span style="color:{trace["meta"]}">{trace["name"]}</span>' for trace in named)
    text = f"<b>{title}</b>  {names if len(named) > 1 or title not in [trace['name'] for trace in named] else ''}"
    return {
        "text": text,
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": top,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12},
    }


def _rows(picture: PlotPicture) -> Iterator[tuple[str, int, list[Trace]]]:
    """Title, height and traces of each panel."""
    if picture.candles is not None:
        yield "Price", _PRICE, [*_prices(picture)]
    if picture.book is not None:
        yield book_title(picture.book), _BOOK, [*_book(picture, picture.book)]
    for panel in picture.panels:
        unit = picture.unit(panel.columns[0])
        yield f"{panel.title}{f' ({unit})' if unit else ''}", _PANEL, [*_panel(picture, panel)]


def _prices(picture: PlotPicture) -> Iterator[Trace]:
    candles = picture.candles
    assert candles is not None
    yield {
        "type": "candlestick",
        "name": "bar",
        "x": candles.times,
        "open": candles.open,
        "high": candles.high,
        "low": candles.low,
        "close": candles.close,
        "increasing": {"line": {"color": UP, "width": 1}, "fillcolor": UP},
        "decreasing": {"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
    }
    for number, name in enumerate(picture.price_lines):
        yield _line(picture, name, colour(name, number), 1.0) | {"opacity": 0.7}


def _panel(picture: PlotPicture, panel: Panel) -> Iterator[Trace]:
    for number, name in enumerate(panel.columns):
        shade = colour(name, number)
        if panel.bars:
            line = picture.lines[name]
            bar = {"type": "bar", "name": name, "x": line.times, "y": line.values}
            yield bar | {"marker": {"color": shade, "line": {"width": 0}}, "meta": shade}
        else:
            trace = _line(picture, name, shade, 1.3)
            yield trace | ({"fill": "tozeroy", "fillcolor": f"{shade}2e"} if panel.fill else {})


def _line(picture: PlotPicture, name: str, shade: str, width: float) -> Trace:
    line = picture.lines[name]
    return {
        "type": "scattergl",
        "mode": "lines",
        "name": name,
        "x": line.times,
        "y": line.values,
        "line": {"color": shade, "width": width},
        "connectgaps": False,
        "hovertemplate": f"{name} %{{y:.6~g}}<extra></extra>",
        "meta": shade,
    }


def _book(picture: PlotPicture, book: Book) -> Iterator[Trace]:
    most = float(np.nanquantile(np.concatenate([book.bids.ravel(), book.asks.ravel()]), 0.98))
    for name, grid, shade in (("bid size", book.bids, UP), ("ask size", book.asks, DOWN)):
        yield {
            "type": "heatmap",
            "name": name,
            "x": book.times,
            "y": book.prices,
            "z": np.round(grid, 6),
            "zmin": 0,
            "zmax": most,
            "colorscale": [[0, f"{shade}1a"], [0.4, f"{shade}8c"], [1, shade]],
            "showscale": False,
            "hoverongaps": False,
            "hovertemplate": f"%{{y:.8~g}}: {name} %{{z:.5~g}}<extra></extra>",
            "meta": shade,
        }
    middle = next((name for name in ("mid_price", "price", "last") if name in picture.lines), None)
    if middle is not None and not book.relative:
        yield _line(picture, middle, FLAT, 1.0) | {"name": middle}


def book_title(book: Book) -> str:
    """Title of the panel of books."""
    return "Book around the mid price (bps)" if book.relative else "Book by price"


def colour(name: str, number: int) -> str:
    """Colour of a line: by the side of the market that it is of, otherwise by its place."""
    if name in BUY:
        return UP
    if name in SELL:
        return DOWN
    return FLAT if name in ("unknown_volume", "mid_price", "price", "last") else COLOURS[number % len(COLOURS)]
