"""Kernels as SQL functions over lists."""

from sqlgen.functions.registration import register

__all__ = ["register"]
