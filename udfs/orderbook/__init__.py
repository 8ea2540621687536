"""Kernels that rebuild order books from a feed of level updates (L2) or single orders (L3)."""
