"""Ad hoc work: views of all tables for any DuckDB shell."""
