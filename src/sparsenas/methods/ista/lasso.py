"""The lasso: min over z of 1/2 ||A z - b||^2 + lam ||z||_1, solved exactly, and ISTA as the slow reference."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

TOLERANCE = 1e-11
"""Relative to the largest |A^T b|: how exactly the optimality conditions hold."""
STEPS = 500
"""Far more steps of the active set than a problem of some dozens of columns takes."""


def soft_threshold(x: Vector, by: float) -> Vector:
    """The proximal map of ``by * ||x||_1``: moves every number towards 0 by ``by``, at most to 0."""
    shrunk: Vector = np.sign(x) * np.maximum(np.abs(x) - by, 0)
    return shrunk


def objective(a: Matrix, b: Vector, lam: float, z: Vector) -> float:
    """The objective of the lasso."""
    return float(0.5 * np.sum((a @ z - b) ** 2) + lam * np.abs(z).sum())


def violation(a: Matrix, b: Vector, lam: float, z: Vector) -> float:
    """The largest violation of optimality, which is |a_i^T (A z - b)| <= lam, and -lam sign(z_i) on the support."""
    gradient = a.T @ (a @ z - b)
    on = z != 0
    missed = np.where(on, np.abs(gradient + lam * np.sign(z)), np.maximum(0, np.abs(gradient) - lam))
    return float(missed.max(initial=0))


def ista(a: Matrix, b: Vector, lam: float, steps: int = 10_000) -> Vector:
    """Iterative soft thresholding, z <- S(z - A^T (A z - b) / L, lam / L) with L = ||A||_2^2, as a slow reference."""
    lipschitz = max(float(np.linalg.norm(a, 2)) ** 2, np.finfo(float).tiny)
    z = np.zeros(a.shape[1])
    for _ in range(steps):
        z = soft_threshold(z - a.T @ (a @ z - b) / lipschitz, lam / lipschitz)
    return z


def lasso(a: Matrix, b: Vector, lam: float) -> Vector:
    """The exact solution, by least angle regression.

    Its tolerances are absolute, so the problem is scaled to a 1-norm of weight 1. It may stop early when columns are
    linearly dependent; then an active-set method continues from there.

    Args:
        a: the dictionary, of shape (m, n).
        b: the compressed variable, of length m.
        lam: the weight of the 1-norm, positive.
    """
    from sklearn import config_context
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lars_path

    if not lam > 0:
        raise ValueError(f"lasso: expected a positive weight of the 1-norm, got {lam}")
    scale = len(b) / lam  # scikit-learn minimises 1/(2 m) ||A z - b||^2 + alpha ||z||_1
    with warnings.catch_warnings(), config_context(skip_parameter_validation=True, assume_finite=True):
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            z: Vector = lars_path(a, b * scale, method="lasso", alpha_min=1.0, return_path=False)[2] / scale
        except ValueError:  # scikit-learn fails when two entries become 0 at once, or nearly so
            z = np.zeros(a.shape[1])
    tolerance = TOLERANCE * max(lam, float(np.abs(a.T @ b).max()))
    if violation(a, b, lam, z) <= tolerance:
        return z
    start = z if objective(a, b, lam, z) < objective(a, b, lam, 0 * z) else 0 * z
    return active_set(a, b, lam, start, tolerance)


def active_set(a: Matrix, b: Vector, lam: float, z: Vector, tolerance: float) -> Vector:
    """The solution from a start near it: optimizes for fixed signs, then adds a column, until none violates optimality.

    This is feature-sign search (Lee et al., NIPS 2006), here for linearly dependent columns too. The objective never
    increases.
    """
    gram, target = a.T @ a, a.T @ b
    signs = np.sign(z)
    for _ in range(STEPS):
        pull = target - gram @ z
        active = signs != 0
        if np.abs(pull - lam * signs)[active].max(initial=0) <= tolerance:
            outside = np.where(active, 0, np.abs(pull))
            new = int(outside.argmax())
            if outside[new] <= lam + tolerance:
                break
            signs[new] = np.sign(pull[new])
            active[new] = True
        z = z.copy()
        z[active] = _toward_optimum(gram[np.ix_(active, active)], target[active], lam, z[active], signs[active])
        signs = np.sign(z)
    return z


def _toward_optimum(gram: Matrix, target: Vector, lam: float, z: Vector, signs: Vector) -> Vector:
    """From z to the optimum for these signs, or as far as the true objective falls: to where some number becomes 0."""
    right = target - lam * signs
    direction = np.linalg.lstsq(gram, right - gram @ z, rcond=None)[0]
    left = right - gram @ (z + direction)
    bounded = np.abs(left).max() <= 1e-6 * lam
    if not bounded:  # the columns depend on each other: the fit stays, the norm falls until some number becomes 0
        direction = left
    shrinking = z * direction < 0
    crossings = np.where(shrinking, -z / np.where(shrinking, direction, 1), np.inf)
    zeros = np.flatnonzero(crossings < (1 if bounded else np.inf))
    ends = [z + crossings[i] * direction for i in zeros]
    for i, end in zip(zeros, ends, strict=True):
        end[i] = 0
    ends += [z + direction] if bounded else []
    return min(ends, key=lambda end: 0.5 * end @ gram @ end - target @ end + lam * np.abs(end).sum(), default=z)
