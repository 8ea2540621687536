"""Slow, obvious reimplementations of every feature: row by row, in plain Python.

They follow the feature reference and nothing else, share no code with the templates, and are the
measure the SQL is held to. An oracle takes raw rows as the lake holds them (dictionaries) and gives
the expected output rows (dictionaries in column order; ``ts`` as int64 nanoseconds).
"""
