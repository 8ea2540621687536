"""models.yaml, checked and resolved: a frozen Project."""
