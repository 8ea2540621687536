"""Sandbox of the templates: they reach nothing but what they are given, and stop after a number of steps."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2 import nodes

MOST_STEPS = 2_000_000
"""Iterations of loops and calls in one rendering; the packaged models take a few thousand."""
MOST_ITEMS = 1_000_000
"""Items or characters of what a template multiplies, and the largest exponent times the bits of its base."""
_COUNTED = "counted"
_STEPS = threading.local()


class TooManyStepsError(ValueError):
    """A template that does not come to an end."""


class LinkError(ValueError):
    """A template that is a link out of the folders of templates."""


def begin() -> None:
    """Start counting the steps of one rendering."""
    _STEPS.left = MOST_STEPS


def _step() -> None:
    _STEPS.left = getattr(_STEPS, "left", MOST_STEPS) - 1
    if _STEPS.left < 0:
        raise TooManyStepsError(
            f"rendering takes more than {MOST_STEPS:,} steps. Are its loops nested, or does a macro call itself?"
        )


def counted(items: Iterable[Any]) -> Iterator[Any]:
    """The items, each a step of the rendering."""
    for item in items:
        _step()
        yield item


@jinja2.pass_context
def _counted(context: Any, items: Iterable[Any]) -> Iterator[Any]:
    """Filter of the same effect as :func:`counted`; with the context, so that Jinja does not take it for a constant."""
    return counted(items)


def product(*lists: Iterable[Any]) -> Iterator[Any]:
    """Filter ``product``: combinations of the items of several lists."""
    return counted(itertools.product(*lists))


class Sandbox(jinja2.sandbox.SandboxedEnvironment):
    """Jinja environment whose loops and calls are counted."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.filters |= {_COUNTED: _counted, "product": product}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno)
        return tree

    def is_safe_callable(self, obj: Any) -> bool:
        """Count a call as a step; the answer is Jinja's."""
        _step()
        return super().is_safe_callable(obj)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Product or power of two values, unless it is huge."""
        if operator == "**":
            size = abs(right) * int(left).bit_length() if isinstance(left, int) and isinstance(right, int) else 0
        else:
            size = max((len(a) * b for a, b in ((left, right), (right, left)) if _repeats(a, b)), default=0)
        if size > MOST_ITEMS:
            raise TooManyStepsError(f"a product or power in it is huge ({size:,} items or bits)")
        return super().call_binop(context, operator, left, right)


def _repeats(value: Any, times: Any) -> bool:
    return isinstance(value, str | list | tuple) and isinstance(times, int)


class Loader(jinja2.FileSystemLoader):
    """Loader of the templates in some folders, which follows no link that leads out of them."""

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Any]:
        """Text of a template, its path, and a function that tells if it has changed."""
        text, path, current = super().get_source(environment, template)
        real = Path(path).resolve()
        if not any(real.is_relative_to(Path(folder).resolve()) for folder in self.searchpath):
            raise LinkError(f"{path} is a link that leads out of the project, to {real}. Copy the file")
        return text, path, current
