"""Options of templates and kernels, where kernels of before 0.2 import them from; see :mod:`udfs.options`."""

from udfs import Option

__all__ = ["Option"]
