"""The sign audit of trades beside rows that pass through kernels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from sqlgen.project.signs import QUOTE_SECONDS, QUOTES, advice, finding, is_reversed
from udfs import NANOSECONDS, Trades


class SignAudit(Struct):
    """Counts trades against the last valid quote strictly before each."""

    judged: int = 0
    against: int = 0
    _last: tuple[int, float, float] | None = None
    """Time, bid and ask of the last valid quote."""

    def add(self, ts: NDArray[np.int64], quotes: Mapping[str, NDArray[np.float64]], trades: Trades) -> None:
        """Add a batch of rows in time order, and the trades since the previous batch up to the last row."""
        bid, ask = (quotes[name] for name in QUOTES)
        valid = bid <= ask
        times, bids, asks = ts[valid], bid[valid], ask[valid]
        if self._last is not None:
            times, bids, asks = (
                np.concatenate(([first], rest)) for first, rest in zip(self._last, (times, bids, asks), strict=True)
            )
        if len(times):
            self._judge(times, bids, asks, trades)
            self._last = (int(times[-1]), float(bids[-1]), float(asks[-1]))

    def _judge(
        self, times: NDArray[np.int64], bids: NDArray[np.float64], asks: NDArray[np.float64], trades: Trades
    ) -> None:
        at = np.searchsorted(times, trades.ts, side="left") - 1
        known = (at >= 0) & (trades.side != 0) & (trades.price > 0)
        known &= trades.ts - times[at] <= QUOTE_SECONDS * NANOSECONDS
        at, side, price = at[known], trades.side[known], trades.price[known]
        against = ((side == 1) & (price <= bids[at])) | ((side == -1) & (price >= asks[at]))
        self.judged += len(side)
        self.against += int(against.sum())

    def note(self, source: str, side_is: str) -> str:
        """Note for the user; empty if the sides are the taker's, or too few trades decide it."""
        if not is_reversed(self.judged, self.against):
            return ""
        return f"trades of source '{source}': {finding(self.judged, self.against)}. {advice(side_is)}"
