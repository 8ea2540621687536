"""Rows of DuckDB through kernels and back."""
