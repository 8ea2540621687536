"""First principal component of a small symmetric matrix."""

from __future__ import annotations

import math

import numpy as np

from udfs.jit import jit
from udfs.kernel import Floats

_SWEEPS = 60
"""Most passes over all pairs; about ten are enough for 100 rows."""
_NEGLIGIBLE = 2.0**-62
"""Share of a matrix's norm that is left beside its diagonal."""
_LEAST_VARIANCE = 1e-12
"""Share of the mean square below which a variance is rounding."""


@jit
def _rotate(a: Floats, vectors: Floats, p: int, q: int) -> None:
    """Make ``a[p, q]`` zero by a rotation, which ``vectors`` collect."""
    ratio = (a[q, q] - a[p, p]) / (2.0 * a[p, q])
    sign = 1.0 if ratio >= 0.0 else -1.0
    tangent = sign / (abs(ratio) + math.sqrt(ratio * ratio + 1.0))
    cosine = 1.0 / math.sqrt(tangent * tangent + 1.0)
    sine = tangent * cosine
    for k in range(len(a)):
        left, right = a[k, p], a[k, q]
        a[k, p], a[k, q] = cosine * left - sine * right, sine * left + cosine * right
    for k in range(len(a)):
        left, right = a[p, k], a[q, k]
        a[p, k], a[q, k] = cosine * left - sine * right, sine * left + cosine * right
    a[p, q] = a[q, p] = 0.0
    for k in range(len(a)):
        left, right = vectors[k, p], vectors[k, q]
        vectors[k, p], vectors[k, q] = cosine * left - sine * right, sine * left + cosine * right


@jit
def largest_eigenpair(matrix: Floats, vector: Floats) -> float:
    """Largest eigenvalue of a symmetric matrix, whose unit eigenvector is written. Jacobi 1846, by rows."""
    size = len(matrix)
    a, vectors = matrix.copy(), np.zeros((size, size))
    norm = 0.0
    for p in range(size):
        vectors[p, p] = 1.0
        for q in range(size):
            norm += a[p, q] * a[p, q]
    least = _NEGLIGIBLE * math.sqrt(norm) / size
    for _ in range(_SWEEPS):
        rotated = False
        for p in range(size):
            for q in range(p + 1, size):
                if abs(a[p, q]) > least:
                    _rotate(a, vectors, p, q)
                    rotated = True
        if not rotated:
            break
    largest = 0
    for p in range(size):
        if a[p, p] > a[largest, largest]:
            largest = p
    for k in range(size):
        vector[k] = vectors[k, largest]
    return float(a[largest, largest])


@jit
def _covariance(points: Floats, covariance: Floats) -> float:
    """Mean square of the points, a row each, whose sums of products of deviations are written."""
    count, size = points.shape
    mean, square = np.zeros(size), 0.0
    for i in range(count):
        for p in range(size):
            mean[p] += points[i, p] / count
            square += points[i, p] * points[i, p]
    for i in range(count):
        for p in range(size):
            for q in range(size):
                covariance[p, q] += (points[i, p] - mean[p]) * (points[i, q] - mean[q])
    return float(square)


@jit
def first_component(points: Floats, weights: Floats) -> float:
    """Share of the variance of points, a row each, that their first component explains, whose weights are written.

    The weights have a sum above zero, and absolute values that sum to 1. NaN where the points hardly vary, or the
    weights sum to zero.
    """
    size = len(weights)
    covariance = np.zeros((size, size))
    square, variance = _covariance(points, covariance), 0.0
    for p in range(size):
        variance += covariance[p, p]
    if not variance > _LEAST_VARIANCE * square:
        return math.nan
    largest = largest_eigenpair(covariance, weights)
    total = absolute = 0.0
    for p in range(size):
        total += weights[p]
        absolute += abs(weights[p])
    if total == 0.0:
        return math.nan
    for p in range(size):
        weights[p] /= absolute if total > 0.0 else -absolute
    return largest / variance
