"""Maps of columns for the generic adapters, guessed by names and values."""
