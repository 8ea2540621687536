"""Auto-indent of nested SQL: the output of `{{ ... }}` is indented like the line on which it is written.

A macro is written from the left edge, and called where its SQL belongs; no template counts spaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from sqlgen.templating.quoting import indent, opens_quote

_FILTER = "indented"
_STARTS_TEXT = frozenset({"macro", "endmacro", "set", "endset", "call", "endcall", "filter", "endfilter"})
"""Tags around text that is rendered on its own."""


def indented(value: Any, width: int) -> Any:
    """SQL with all lines but the first indented by ``width``; other values unchanged."""
    return indent(value, width) if isinstance(value, str) and "\n" in value else value


class AutoIndent(Extension):
    """Jinja extension that gives every ``{{ ... }}`` the indentation of its line.

    Not within quotes, where spaces are data, nor where the template calls ``indent`` itself.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters[_FILTER] = indented

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Tokens of a template, with a filter at the end of each output expression."""
        line = quote = ""  # current line so far; text since the last point outside of quotes
        for token in stream:
            if token.type == "data":
                line = (line + token.value).rpartition("\n")[2]
                quote += token.value
            elif token.type == "block_begin" and stream.current.value in _STARTS_TEXT:
                line = quote = ""
            if token.type != "variable_begin":
                yield token
                continue
            width = len(line) - len(line.lstrip(" "))
            quote = quote if opens_quote(quote) else ""
            expression = list(_until_end(stream))
            yield token
            yield from expression if quote or not width or _indents(expression) else _wrapped(expression, width)
            line += "x"
            quote += "x"


def _until_end(stream: TokenStream) -> Iterator[Token]:
    while stream.current.type not in ("variable_end", "eof"):
        yield next(stream)


def _indents(expression: list[Token]) -> bool:
    """True if the last filter of an expression is ``indent``."""
    for token, name in zip(reversed(expression[:-1]), reversed(expression), strict=False):
        if token.type == "pipe":
            return bool(name.value == "indent")
    return False


def _wrapped(expression: list[Token], width: int) -> Iterator[Token]:
    line = expression[-1].lineno if expression else 0
    yield Token(line, "lparen", "(")
    yield from expression
    for kind, value in (("rparen", ")"), ("pipe", "|"), ("name", _FILTER), ("lparen", "(")):
        yield Token(line, kind, value)
    yield Token(line, "integer", width)  # type: ignore[arg-type]
    yield Token(line, "rparen", ")")
