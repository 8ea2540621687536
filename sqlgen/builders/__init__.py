"""Units built: their inputs staged, their rows copied, checked and published."""
