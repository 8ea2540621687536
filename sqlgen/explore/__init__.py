"""Ad hoc analysis: views of all tables for any DuckDB shell."""
