"""sqlgen: a DuckDB SQL-first transform engine for limit-order-book data."""

__version__ = "0.1.0"
