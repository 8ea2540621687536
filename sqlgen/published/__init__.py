"""Published tables: their files, the records of what these are made from, and kernel states."""
