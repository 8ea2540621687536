"""Bulk volume classification of bars by their closes. Easley, Lopez de Prado, O'Hara 2012."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from statistics import NormalDist


def buy_shares(closes: Sequence[float], bars: int, gaps: Sequence[bool] = ()) -> list[float]:
    """Share of each bar that was bought; sigma is that of the changes of up to ``bars`` bars before.

    Nothing is known of the first bar, of one with a ``gap``, and before two changes: half of it.
    """
    shares, changes, before = [], list[Decimal](), None
    for i, close in enumerate(closes):
        price = Decimal(repr(close))
        if gaps and gaps[i]:
            changes, before = [], None
        share = 0.5
        if before is not None:
            change, known = price - before, changes[-bars:]
            if change and len(known) >= 2:
                mean = sum(known) / len(known)
                sigma = math.sqrt(sum((other - mean) ** 2 for other in known) / (len(known) - 1))
                share = NormalDist().cdf(float(change) / sigma) if sigma > 0 else 0.5
            changes.append(change)
        before = price
        shares.append(share)
    return shares
