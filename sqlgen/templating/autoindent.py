"""Layout of nested SQL: what `{{ ... }}` gives stands as deep as the line on which it is written.

A macro is written from the left edge, and called where its SQL belongs; no template counts columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from sqlgen.templating.quoting import indent, opens_quote

_FILTER = "placed"
_STARTS_TEXT = frozenset({"macro", "endmacro", "set", "endset", "call", "endcall", "filter", "endfilter"})
"""Tags around text that is put together by itself."""


def placed(value: Any, width: int) -> Any:
    """SQL whose further lines are moved ``width`` to the right; anything else as it is."""
    return indent(value, width) if isinstance(value, str) and "\n" in value else value


class AutoIndent(Extension):
    """Gives every ``{{ ... }}`` the indentation of its line.

    Not within quotes, where blanks would count, nor where the template calls ``indent`` itself.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters[_FILTER] = placed

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """The tokens of a template, with a filter at the end of each expression that is written out."""
        line = quote = ""  # the line so far; the text so far from where no quote was open
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
