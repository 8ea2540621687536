"""A project as SQL text. Pure: no file and no database is opened."""
