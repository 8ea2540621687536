"""Rolling sums over event windows ``(t - h, t]`` of one segment: of one series, of two, weighted by time.

The history of a series holds, with each value, the sums over the values before it in the segment, as pairs in twice
the precision. A window's sum is the difference of two such sums: a row costs one addition per series and one
difference per window, and nothing drifts, since what was rounded before the window began cancels.

A value many orders of magnitude larger than the others rounds them away, even after it has left the window. So the
values are kept too: a window whose difference has lost its digits is summed from its own values, and once such a value
has left the longest window, the sums restart behind it. This depends on the values alone, not on the batches.

Loops take and give scalars in their helpers: Numba does not inline a helper of many arrays, which costs a factor of 4.
"""

from udfs.windows.base import Windows
from udfs.windows.comoments import comoments
from udfs.windows.moments import moments
from udfs.windows.sums import sums
from udfs.windows.time_weighted import time_weighted

__all__ = ["Windows", "comoments", "moments", "sums", "time_weighted"]
