"""Signs of trades, and their audit: it compares the sides of trades with the quotes before them.

A taker buys at the ask and sells at the bid. If most buys are at or below the bid, and sells at or above the ask, the
feed names the maker's side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from sqlgen.templating.yamlfile import KeyPath

if TYPE_CHECKING:
    from sqlgen.project.config import Source
    from sqlgen.project.model import Model, ModelInput

TRADES = "trades"
"""Name of the input with trades, of templates and of kernels."""

QUOTES = ("best_bid", "best_ask")
"""Columns of quotes."""
QUOTE_SECONDS = 300.0
"""Age up to which a quote counts."""
SHARE = 0.5
"""Share of trades at the other side of the quote above which the sides are not the taker's."""
FEWEST = 10
"""Fewest trades that are judged."""


SIGN = "sign"
"""Option of templates and kernels: whose sign of a trade counts."""
SIGNS = {
    "aggressor": "side",
    "tick": "sign_tick",
    "quote": "sign_quote",
    "lee_ready": "sign_lee_ready",
    "aggressor_or_lee_ready": "coalesce(side, sign_lee_ready)",
}
"""Its values -> SQL over the columns of a model that signs trades."""


def sign_of(model: Model, entry: ModelInput) -> str:
    """SQL of the sign that a model takes for the side of an input's trades; empty if that is what they have."""
    chosen = model.options.get(SIGN, "aggressor")
    reads = entry.name == model.header.trades and not model.header.signs
    return SIGNS[chosen] if reads and chosen != "aggressor" else ""


def unsigned(models: Mapping[str, Model]) -> Iterator[tuple[KeyPath, str]]:
    """Keys and messages of models that want signs of trades which nothing has signed."""
    for name, model in models.items():
        for entry in model.inputs:
            upstream = models.get(entry.ref)
            if not sign_of(model, entry) or (upstream is not None and upstream.header.signs):
                continue
            what = "source" if entry.source is not None else "model"
            signing = [other.name for other in models.values() if other.header.signs]
            yield (
                ("models", name, "options", SIGN),
                f"found '{model.options[SIGN]}', and {what} '{entry.ref}' has the sides as sent alone. Let input"
                f" '{entry.name}' read a model of trades/liquidity.sql.j2, which signs trades by ticks and quotes"
                f"{': ' + ', '.join(signing) if signing else ''}",
            )


def is_reversed(judged: int, against: int, share: float = SHARE) -> bool:
    """True if more than ``share`` of enough trades are at the other side of the quote."""
    return judged >= FEWEST and against > share * judged


def finding(judged: int, against: int) -> str:
    """The counts, in words."""
    return (
        f"{against / judged:.0%} of {judged:,} buys and sells are at the other side of the quote before them"
        " (buys at or below the bid, sells at or above the ask)"
    )


def advice(side_is: str) -> str:
    """Advice on what to write into the source."""
    if side_is == "maker":
        return "They were turned by side_is: maker, and should not be: say side_is: taker"
    return "The feed sends the maker's side: say side_is: maker"


def without_quotes(sources: Mapping[str, Source], models: Iterable[Model]) -> Iterator[tuple[KeyPath, str]]:
    """Keys and messages of sign audits without trades or quotes."""
    known = [*models]
    for name, source in sources.items():
        readers = [model for model in known if any(entry.ref == name for entry in model.inputs)]
        for number, check in enumerate(source.checks):
            at: KeyPath = ("sources", name, "checks", number)
            if check.is_sign_audit and check.columns:
                yield (*at, "columns"), "the trades of a source have side and price, and its quotes are other rows"
            elif check.is_sign_audit and readers and all(len(model.inputs) == 1 for model in readers):
                yield at, f"no model reads quotes beside the trades of '{name}': a sign audit needs both in one model"
