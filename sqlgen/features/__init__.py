"""Columns of a SELECT, its stages, and the choice of columns by names, globs and tags. Pure."""
