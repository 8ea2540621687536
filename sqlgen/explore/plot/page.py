"""A plot as one HTML page that has all it needs."""

from __future__ import annotations

import datetime as dt

from markupsafe import Markup

from sqlgen import __version__
from sqlgen.explore import extras
from sqlgen.explore.pages.numbers import number
from sqlgen.explore.pages.render import render
from sqlgen.explore.plot.figure import figure
from sqlgen.explore.plot.picture import PlotPicture
from sqlgen.project.project import Project

_EXTRA, _PURPOSE = "plot", "sqlgen plot"


def page(project: Project, picture: PlotPicture) -> str:
    """The page of a plot."""
    offline = extras.load("plotly.offline", _EXTRA, _PURPOSE)
    objects = extras.load("plotly.graph_objects", _EXTRA, _PURPOSE)
    drawn = objects.Figure(figure(picture), skip_invalid=False)
    name = picture.rows.name
    described = project.models[name] if name in project.models else project.sources[name]
    begin, end = span(picture)
    return render(
        "plot",
        picture=picture,
        project=project.path.name,
        description=described.description,
        begin=begin,
        end=end,
        summary=summary(picture),
        figure=drawn.to_json(),
        plotly=Markup(offline.get_plotlyjs()),  # the library itself
        version=__version__,
    )


def span(picture: PlotPicture) -> tuple[str, str]:
    """First and last time of a plot."""
    first, last = (f"{dt.datetime.fromtimestamp(ns / 1e9, dt.UTC):%Y-%m-%d %H:%M:%S}" for ns in picture.rows.range)
    return first, last


def summary(picture: PlotPicture) -> str:
    """A sentence for those who do not see the plot."""
    begin, end = span(picture)
    parts = [f"{picture.title}, {begin} to {end} UTC"]
    if picture.candles is not None and len(picture.candles.close):
        candles = picture.candles
        ends = f"from {number(float(candles.open[0]))} to {number(float(candles.close[-1]))}"
        parts.append(
            f"price {ends}, between {number(float(candles.low.min()))} and {number(float(candles.high.max()))}"
        )
    parts += [f"{name} between {number(least)} and {number(most)}" for name, _, least, most in picture.shown()]
    return "; ".join(parts)
