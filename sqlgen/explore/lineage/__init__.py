"""Lineage of models and columns: by their SQL, and by what kernels declare."""
