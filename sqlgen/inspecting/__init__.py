"""`sqlgen inspect`: what files are that nobody has described."""
