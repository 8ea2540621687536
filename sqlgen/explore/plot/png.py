"""A plot as a picture, drawn by matplotlib: what a browser is not at hand for."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from sqlgen.explore import extras
from sqlgen.explore.pages.render import GENERATOR
from sqlgen.explore.plot.figure import DOWN, FLAT, UP, book_title, colour
from sqlgen.explore.plot.page import span
from sqlgen.explore.plot.panels import Panel
from sqlgen.explore.plot.picture import PlotPicture

_WIDTH, _PRICE, _BOOK, _PANEL = 13.0, 3.4, 2.6, 1.4
"""Inches."""
_DOTS = 110


def png(picture: PlotPicture) -> bytes:
    """The picture as PNG."""
    figures = extras.load("matplotlib.figure", "plot", "sqlgen plot --png")
    heights = [_PRICE] if picture.candles is not None else []
    heights += [_BOOK] if picture.book is not None else []
    heights += [_PANEL] * len(picture.panels)
    drawn = figures.Figure(figsize=(_WIDTH, sum(heights) + 0.9), dpi=_DOTS, layout="constrained")
    axes = iter(drawn.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    if picture.candles is not None:
        _prices(next(axes), picture)
    if picture.book is not None:
        _book(next(axes), picture)
    for panel in picture.panels:
        _panel(next(axes), picture, panel)
    begin, end = span(picture)
    drawn.suptitle(f"{picture.title}, {begin} to {end} UTC ({picture.rows.name})", x=0.01, ha="left", fontsize=12)
    target = io.BytesIO()
    drawn.savefig(target, format="png", metadata={"Software": GENERATOR})
    return target.getvalue()


def _times(ms: Any) -> Any:
    return np.asarray(ms).astype("int64").astype("datetime64[ms]")


def _prices(axis: Any, picture: PlotPicture) -> None:
    candles = picture.candles
    assert candles is not None
    rises = candles.close >= candles.open
    width = np.timedelta64(max(1, int(candles.seconds * 700)), "ms")
    for chosen, shade in ((rises, UP), (~rises, DOWN)):
        if not chosen.any():  # Matplotlib takes no bars of no width
            continue
        times = _times(candles.times[chosen])
        axis.vlines(times, candles.low[chosen], candles.high[chosen], color=shade, linewidth=0.7)
        height = np.abs(candles.close - candles.open)[chosen]
        axis.bar(times, height, width, np.minimum(candles.close, candles.open)[chosen], color=shade, linewidth=0)
    for number, name in enumerate(picture.price_lines):
        line = picture.lines[name]
        axis.plot(_times(line.times), line.values, color=colour(name, number), linewidth=0.7, label=name)
    _finish(axis, "Price", len(picture.price_lines))


def _book(axis: Any, picture: PlotPicture) -> None:
    book = picture.book
    assert book is not None
    most = float(np.nanquantile(np.concatenate([book.bids.ravel(), book.asks.ravel()]), 0.98))
    for grid, shades in ((book.bids, "Greens"), (book.asks, "Reds")):
        axis.pcolormesh(_times(book.times), book.prices, grid, cmap=shades, vmin=0, vmax=most, shading="nearest")
    middle = next((name for name in ("mid_price", "price", "last") if name in picture.lines), None)
    if middle is not None and not book.relative:
        axis.plot(_times(picture.lines[middle].times), picture.lines[middle].values, color=FLAT, linewidth=0.6)
    _finish(axis, book_title(book), 0)


def _panel(axis: Any, picture: PlotPicture, panel: Panel) -> None:
    bottom: Any = 0
    for number, name in enumerate(panel.columns):
        line, shade = picture.lines[name], colour(name, number)
        times = _times(line.times)
        if panel.bars:
            seconds = picture.candles.seconds if picture.candles is not None else 1
            values = np.nan_to_num(line.values)
            axis.bar(
                times, values, np.timedelta64(int(seconds * 800), "ms"), bottom, color=shade, label=name, linewidth=0
            )
            bottom = bottom + values
        else:
            axis.plot(times, line.values, color=shade, linewidth=0.8, label=name)
            if panel.fill:
                axis.fill_between(times, line.values, color=shade, alpha=0.18, linewidth=0)
    unit = picture.unit(panel.columns[0])
    _finish(axis, f"{panel.title}{f' ({unit})' if unit else ''}", len(panel.columns))


def _finish(axis: Any, title: str, names: int) -> None:
    axis.set_title(title, loc="left", fontsize=9, fontweight="bold", pad=3)
    axis.grid(color="#e1e5eb", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    if names > 1:
        axis.legend(fontsize=7, frameon=False, ncols=names, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
