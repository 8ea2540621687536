"""Kernels over trades: flow, Kyle's lambda and VPIN beside a book, and bars made of trades."""
