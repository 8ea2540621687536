"""Source files: which there are, and CSV, NDJSON and DBN made into Parquet."""
