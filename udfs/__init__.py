"""Numba kernels of sqlgen: path-dependent features, by subject."""
