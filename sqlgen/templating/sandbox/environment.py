"""Sandbox of the templates: they reach nothing but what they are given, and stop after a number of steps."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import BuiltinMethodType, MethodType, SimpleNamespace
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from sqlgen.templating.inheriting import SHIPPED
from sqlgen.templating.sandbox import growth

MOST_STEPS = 2_000_000
"""Iterations of loops and calls in one rendering; the packaged models take a few thousand."""
MOST_ITEMS = 1_000_000
"""Items or characters of what a template multiplies, and the largest exponent times the bits of its base."""
ENGINE = ("publish/", "inspect/", "queries/")
"""Folders of the engine's own statements, which a project cannot replace."""
_COUNTED, _JOINED = "counted", "joined"
_PLAIN = frozenset({SimpleNamespace, dict, list, tuple, str})
"""Types of most values: they have no attribute to hide but those that begin with an underscore."""

_DIGITS = 20
"""Characters that an integer counts as."""


class _Steps(threading.local):
    """Steps that the rendering of a thread has left, and the characters that it has written."""

    left = MOST_STEPS
    written = 0


_STEPS = _Steps()


class TooManyStepsError(ValueError):
    """A template that does not come to an end."""


class LinkError(ValueError):
    """A template that is a link out of the folders of templates."""


def begin() -> None:
    """Start counting the steps of one rendering."""
    _STEPS.left = MOST_STEPS
    _STEPS.written = 0


def _written(value: Any) -> Any:
    """A value that a template writes, with its characters counted."""
    _add(len(value) if isinstance(value, str) else _DIGITS if type(value) is int else growth.size([value]))
    return value


def _add(characters: int) -> None:
    _STEPS.written += characters
    if _STEPS.written > growth.MOST:
        growth.check(_STEPS.written)


def _step() -> None:
    _STEPS.left -= 1
    if _STEPS.left < 0:
        raise TooManyStepsError(
            f"rendering takes more than {MOST_STEPS:,} steps. Are its loops nested, or does a macro call itself?"
        )


def counted(items: Iterable[Any], text: int = 0) -> Iterator[Any]:
    """The items, each a step of the rendering that writes so many characters beside its values."""
    for item in items:
        _step()
        _add(text)
        yield item


@jinja2.pass_context
def _counted(context: Any, items: Iterable[Any], text: int) -> Iterator[Any]:
    """Filter of the same effect as :func:`counted`; with the context, so that Jinja does not take it for a constant."""
    return counted(items, text)


@jinja2.pass_context
def _joined(context: Any, values: list[Any]) -> str:
    """Filter in place of ``~``."""
    growth.size(values)
    return "".join(map(str, values))


def bounded(name: str, function: Any) -> Any:
    """A filter whose result has a bound."""
    check = growth.check_format if name == "format" else growth.check_growth
    takes_context = hasattr(function, "jinja_pass_arg")

    @functools.wraps(function)
    def checked(*arguments: Any, **named: Any) -> Any:
        value, *others = arguments[1:] if takes_context else arguments
        if isinstance(value, Iterator):
            value = [*growth.listed(value)]
            arguments = (*arguments[: int(takes_context)], value, *others)
        check(value, [*others, *named.values()])
        return function(*arguments, **named)

    return checked


def product(*lists: Iterable[Any]) -> Iterator[Any]:
    """Filter ``product``: combinations of the items of several lists."""
    return counted(itertools.product(*lists))


class Sandbox(jinja2.sandbox.SandboxedEnvironment):
    """Jinja environment whose loops and calls are counted."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, finalize=_written)
        self.filters = {name: self.filters[name] for name in self.filters if name not in growth.NEEDLESS}
        self.filters |= {name: bounded(name, self.filters[name]) for name in growth.FILTERS}
        self.filters |= {_COUNTED: _counted, _JOINED: _joined, "product": product}
        del self.globals["lipsum"]

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            text = sum(len(data.data) for data in loop.find_all(nodes.TemplateData))
            loop.iter = nodes.Filter(loop.iter, _COUNTED, [nodes.Const(text)], [], None, None, lineno=loop.lineno)
        return _without_concatenation(tree)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """True for an attribute that a template may read, as Jinja says; sooner for the types of most values."""
        return not attr.startswith("_") if type(obj) in _PLAIN else super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: Any) -> bool:
        """Count a call as a step; the answer is Jinja's."""
        _step()
        return super().is_safe_callable(obj)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Result of a call, unless it is huge."""
        growth.check_call(__obj, args)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Any:
        """``format`` of a text, unless its result is huge."""
        function = super().wrap_str_format(value) if isinstance(value, MethodType | BuiltinMethodType) else None
        if function is None:
            return None

        def bounded(*args: Any, **named: Any) -> Any:
            growth.check_format(value.__self__, [*args, *named.values()])
            return function(*args, **named)

        return bounded

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Result of an operator, unless it is huge."""
        if operator == "%":
            growth.check_format(left, right if isinstance(right, list | tuple) else [right])
            return super().call_binop(context, operator, left, right)
        if operator == "+":
            if isinstance(left, str | list | tuple):
                growth.check(len(left) + len(right))
            return super().call_binop(context, operator, left, right)
        if operator == "**":
            size = abs(right) * int(left).bit_length() if isinstance(left, int) and isinstance(right, int) else 0
        else:
            size = max((len(a) * b for a, b in ((left, right), (right, left)) if _repeats(a, b)), default=0)
        if size > MOST_ITEMS:
            raise TooManyStepsError(f"a product or power in it is huge ({size:,} items or bits)")
        return super().call_binop(context, operator, left, right)


def _without_concatenation(node: nodes.Template) -> nodes.Template:
    """A tree whose ``~`` are filters that count."""
    found: nodes.Template = _Concatenations().visit(node)
    return found


class _Concatenations(NodeTransformer):
    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        values = nodes.List([self.visit(child) for child in node.nodes])
        return nodes.Filter(values, _JOINED, [], [], None, None, lineno=node.lineno)


def _repeats(value: Any, times: Any) -> bool:
    return isinstance(value, str | list | tuple) and isinstance(times, int)


class Loader(jinja2.FileSystemLoader):
    """Loader of the templates in some folders, which follows no link that leads out of them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        super().__init__(folders)
        self._tops = [folder.resolve() for folder in folders]

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Any]:
        """Text of a template, its path, and a function that tells if it has changed."""
        if template.startswith((SHIPPED, *ENGINE)):
            return jinja2.FileSystemLoader(self.searchpath[-1:]).get_source(environment, template.removeprefix(SHIPPED))
        text, path, current = super().get_source(environment, template)
        if self._linked(path):
            real = Path(path).resolve()
            if not any(map(real.is_relative_to, self._tops)):
                raise LinkError(f"{path} is a link that leads out of the project, to {real}. Copy the file")
        return text, path, current

    def _linked(self, path: str) -> bool:
        """True if a file, or a folder between it and the one that is searched, may be a link."""
        while path not in self.searchpath:
            if not path or Path(path).is_symlink():
                return True
            path = path.rpartition("/")[0]
        return False
