"""Rows that come late: those of a date that begins a little before the last row of the date before.

Files split by the time of arrival do that at midnight. Rows of one date are in order, but the rows of the date before
have gone through the windows already. Such a row is a segment of its own, and the segment around it goes on without it:
no row is computed from a later one, and midnight is no edge. A date that begins earlier than that starts a segment: its
clock, or that of the date before, is wrong.
"""

OVERLAP_NS = 1_000_000_000
"""Nanoseconds by which a date may begin before the last row of the date before."""
