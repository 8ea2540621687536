"""Streaming of DuckDB rows through kernels and back."""
