"""Detection of values of source files whose digits do not fit the column types."""
