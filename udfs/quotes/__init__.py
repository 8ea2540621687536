"""Kernels over quotes: segments, returns, order flow and its impact, rolling statistics, spread regimes."""
