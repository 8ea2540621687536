"""``sqlgen lake``: maintenance of tables and sources."""
