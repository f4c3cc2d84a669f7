"""Fréchet distance between Gaussian fits to features: FID of Heusel et al. 2017, Eq. 6.

FID = |m - m_r|^2 + tr S + tr S_r - 2 tr (R S R)^(1/2), with R = S_r^(1/2), all in float64. Covariances are unbiased
(n - 1). Two ways to the last trace, equal in exact arithmetic:

- the eigenvalues of the symmetric R S R, where it has full rank and is conditioned well enough;
- else the nuclear norm of A R, with S = A^T A and A the centred features over sqrt(n - 1). Nothing is squared, so a
  singular S costs no accuracy; no multiple of the identity is ever added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffbench.errors import ReferenceDataError, ScoringError
from diffbench.scoring.interval import Score, score_from_influence, score_without_error, too_few
from diffbench.scoring.moments import Array, Moments, alike, checked

if TYPE_CHECKING:
    from diffbench.scoring.reference import Reference

# Largest bound on the trace's error, relative to tr S + tr S_r, at which eigenvalues of R S R still serve; singular
# values of the features cost little where d is small, and many times as much as eigenvalues where it is not.
_TRACE_TOLERANCE, _WIDE_TOLERANCE, _WIDE = 1e-12, 1e-9, 256


def fid(features: NDArray[Any], reference: Reference) -> Score:
    """FID of features (n, d) against a reference, its standard error and 95 % interval.

    The error is that of the delta method with the reference held fixed. With x centred at the mean m,

        influence_i = 2 (m - m_r)^T x_i + n/(n-1) x_i^T (I - T) x_i - mean,   T = R (R S R)^(-1/2) R,

    the derivative of the value along a shift of weight to sample i (n/(n-1) comes from the unbiased covariance). The
    interval is about E[FID_n], not about the limit for infinite n: FID_n is biased upwards, so compare equal n. At
    small n/d, or close to a perfect generator, it is too wide (simulated at n/d = 2.5: by 20 to 40 %), not too narrow.
    For n <= d, S is singular whatever the generator; a fresh sample leaves the span of the others, where FID has no
    derivative, and the delta method does not hold: the error is null, with the reason.

    Raises:
        ScoringError: features of the wrong shape, or not finite (the sample is named).
        ReferenceDataError: the reference has another dimension.
    """
    wide = checked(features)
    n, d = wide.shape
    require_dimension(d, reference)
    if n < 2:
        return score_without_error(None, n, too_few(n))
    moments = Moments.of(wide)
    centred = wide - moments.mean
    value, transport, full_rank = _value_and_transport(centred, moments, reference)
    doubt = alike(wide) if full_rank else _doubt(wide)  # rounding of the mean may leave equal samples a full rank
    if doubt is not None:
        return score_without_error(value, n, doubt)
    slope = 2 * centred @ (moments.mean - reference.mean)
    curve = (np.einsum("nd,nd->n", centred, centred) - transport) * (n / (n - 1))
    influence = slope + curve
    return score_from_influence(value, influence - influence.mean())


def fid_value(features: NDArray[Any], reference: Reference) -> float:
    """FID of features (n, d), n >= 2, without its error.

    Raises:
        ScoringError: fewer than two samples, wrong shape, or values that are not finite.
        ReferenceDataError: the reference has another dimension.
    """
    wide = checked(features)
    require_dimension(wide.shape[1], reference)
    if len(wide) < 2:
        raise ScoringError(too_few(len(wide)))
    moments = Moments.of(wide)
    value, _, _ = _value_and_transport(wide - moments.mean, moments, reference, with_transport=False)
    return value


def fid_of_moments(moments: Moments, reference: Reference) -> float:
    """FID of mean and covariance alone, n >= 2: for streams of images whose features are not kept.

    Where S has full rank the same as :func:`fid_value`; else A comes from the eigenvectors of S, whose eigenvalues near
    zero are off by eps times the largest.

    Raises:
        ScoringError: fewer than two samples.
        ReferenceDataError: the reference has another dimension.
    """
    require_dimension(moments.mean.size, reference)
    shift, cov, root = moments.mean - reference.mean, moments.cov, reference.sqrt_cov
    total = float(np.trace(cov) + np.trace(reference.cov))
    product = root @ cov @ root
    eigenvalues, _ = _eigen((product + product.T) / 2, with_vectors=False)
    if _accurate(eigenvalues, total):
        overlap = float(np.sqrt(eigenvalues).sum())
    else:
        own, vectors = np.linalg.eigh(cov)
        factor = np.sqrt(np.maximum(own, 0.0))[:, None] * vectors.T
        overlap = float(np.linalg.svd(factor @ root, compute_uv=False).sum())
    return float(shift @ shift + total - 2 * overlap)


def require_dimension(d: int, reference: Reference) -> None:
    """Raise ReferenceDataError unless the reference has d-dimensional features."""
    known = reference.mean.size
    if d != known:
        raise ReferenceDataError(f"features have {d} dimensions, those of reference {reference.name!r} have {known}")


def _doubt(features: Array) -> str | None:
    """Why the delta method does not hold for these features (n, d) of singular covariance; None if it does.

    It does where all samples, seen and unseen, share a subspace (features that never vary), with more samples than d.
    """
    n, d = features.shape
    distinct = n if n <= d else len(np.unique(features, axis=0))
    if (reason := alike(features)) is not None:
        return reason
    if distinct <= d:
        return "rank-deficient: n <= d" if distinct == n else f"rank-deficient: {distinct} distinct samples <= d"
    return None


def _value_and_transport(
    centred: Array, moments: Moments, reference: Reference, with_transport: bool = True
) -> tuple[float, Array, bool]:
    """Return FID, x_i^T T x_i (n,) for the centred features x (empty if not asked for), and if R S R has full rank."""
    n, d = centred.shape
    shift = moments.mean - reference.mean
    total = float(np.trace(moments.cov) + np.trace(reference.cov))
    root = reference.sqrt_cov
    transport = np.empty(0)
    product = root @ moments.cov @ root
    eigenvalues, vectors = _eigen((product + product.T) / 2, with_transport) if n > d else (np.empty(0), None)
    full_rank = _accurate(eigenvalues, total)
    if full_rank:
        overlap = float(np.sqrt(eigenvalues).sum())
        if vectors is not None:
            mapped = centred @ (root @ vectors)
            transport = np.einsum("nd,d->n", mapped**2, 1 / np.sqrt(eigenvalues))
    else:
        mapped = centred @ root
        if with_transport:
            left, singular, _ = np.linalg.svd(mapped, full_matrices=False)
            transport = left**2 @ singular * np.sqrt(n - 1)
        else:
            singular = np.linalg.svd(mapped, compute_uv=False)
        overlap = float(singular.sum()) / np.sqrt(n - 1)
    return float(shift @ shift + total - 2 * overlap), transport, full_rank


def _eigen(product: Array, with_vectors: bool) -> tuple[Array, Array | None]:
    if with_vectors:
        eigenvalues, vectors = np.linalg.eigh(product)
        return np.asarray(eigenvalues, np.float64), np.asarray(vectors, np.float64)
    return np.asarray(np.linalg.eigvalsh(product), np.float64), None


def _accurate(eigenvalues: Array, total: float) -> bool:
    """Whether the sum of square roots is good enough: each eigenvalue may be off by eps times the largest."""
    if eigenvalues.size == 0 or eigenvalues[0] <= 0:
        return False
    error = np.finfo(np.float64).eps * eigenvalues[-1] * float((1 / np.sqrt(eigenvalues)).sum()) / 2
    return bool(error <= (_TRACE_TOLERANCE if eigenvalues.size <= _WIDE else _WIDE_TOLERANCE) * total)
