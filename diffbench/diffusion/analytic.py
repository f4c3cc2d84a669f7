"""Exact denoisers of known distributions: D(x_hat, sigma) = E[x0 | x_hat] and log p_sigma, without a network.

p_sigma is the density of x_hat = x0 + sigma n, and D = x_hat + sigma^2 grad log p_sigma (Tweedie's formula: Efron 2011,
Eq. 1.4; Karras et al. 2022, Eq. 3). All is computed in float64, one sample at a time, so that no other sample of a
batch can change a bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from diffbench.diffusion.denoiser import Denoised, check_arguments
from diffbench.errors import UsageError


def _each(function: Callable[[Tensor, Tensor], Tensor], x_hat: Tensor, sigma: Tensor) -> Tensor:
    """Apply ``function``(row (D,), sigma ()) to every sample, in float64."""
    rows = x_hat.flatten(1).double()
    if not len(rows):
        return rows
    return torch.stack([function(row, level) for row, level in zip(rows, sigma.to(rows.device), strict=True)])


class GaussianDenoiser:
    """Data from N(``mean``, ``covariance``): D = mean + U [lambda / (lambda + sigma^2)] U^T (x_hat - mean).

    ``mean`` (C,H,W); ``covariance`` (D,D) = U diag(lambda) U^T, symmetric and positive semi-definite, D = CHW, or the
    variance of every element as a float. Sigma = 0 gives x_hat where lambda > 0. Source: conjugate Gaussians, e.g.
    Bishop 2006, Eq. 2.116. UsageError for a covariance of another shape or with a negative eigenvalue.
    """

    def __init__(self, mean: Tensor, covariance: Tensor | float) -> None:
        self.mean = mean.double()
        self._basis: Tensor
        size = mean.numel()
        if isinstance(covariance, Tensor):
            if covariance.shape != (size, size):
                raise UsageError(f"covariance must be {(size, size)} for this mean, got {tuple(covariance.shape)}")
            symmetric = covariance.double()
            eigenvalues, self._basis = torch.linalg.eigh((symmetric + symmetric.T) / 2)
        else:
            eigenvalues = torch.full((size,), float(covariance), dtype=torch.float64, device=mean.device)
            self._basis = torch.eye(size, dtype=torch.float64, device=mean.device)
        largest = float(eigenvalues.abs().max())
        if not float(eigenvalues.min()) >= -1e-10 * largest:
            raise UsageError(f"covariance has the negative eigenvalue {float(eigenvalues.min()):.3g}")
        self._eigenvalues = eigenvalues.clamp(min=0.0)

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Posterior mean of a batch (B,C,H,W)."""
        check_arguments(x_hat, sigma)

        def one(row: Tensor, level: Tensor) -> Tensor:
            return self._along_basis(row, self._eigenvalues / (self._eigenvalues + level**2))

        return Denoised(_each(one, x_hat, sigma).view_as(x_hat).to(x_hat.dtype))

    def flow(self, x_hat: Tensor, sigma_from: float, sigma_to: float) -> Tensor:
        """Exact solution at ``sigma_to`` of the ODE dx_hat/dsigma = (x_hat - D) / sigma that starts at ``sigma_from``.

        mean + U sqrt((lambda + sigma_to^2) / (lambda + sigma_from^2)) U^T (x_hat - mean), as each coordinate along U
        obeys dy/dsigma = sigma y / (lambda + sigma^2). UsageError unless sigma_from > 0 and sigma_to >= 0.
        """
        if not (sigma_from > 0 and sigma_to >= 0):
            raise UsageError(f"the flow needs sigma_from > 0 and sigma_to >= 0, got {sigma_from!r} and {sigma_to!r}")
        factors = ((self._eigenvalues + sigma_to**2) / (self._eigenvalues + sigma_from**2)).sqrt()
        levels = torch.full(x_hat.shape[:1], float(sigma_from), dtype=torch.float64)
        moved = _each(lambda row, level: self._along_basis(row, factors), x_hat, levels)
        return moved.view_as(x_hat).to(x_hat.dtype)

    def log_density(self, x_hat: Tensor, sigma: Tensor) -> Tensor:
        """Log N(x_hat; mean, covariance + sigma^2 I) in nats, (B,) float64; differentiable."""

        def one(row: Tensor, level: Tensor) -> Tensor:
            variances = self._eigenvalues + level**2
            y = self._basis.T @ (row - self.mean.flatten())
            terms: Tensor = y**2 / variances + (2 * math.pi * variances).log()
            return -0.5 * terms.sum()

        return _each(one, x_hat, sigma)

    def _along_basis(self, row: Tensor, factors: Tensor) -> Tensor:
        mean = self.mean.flatten()
        return mean + self._basis @ (factors * (self._basis.T @ (row - mean)))


class GaussianMixtureDenoiser:
    """Data from sum_k w_k N(mu_k, s_k^2 I): D = sum_k r_k (sigma^2 mu_k + s_k^2 x_hat) / (s_k^2 + sigma^2).

    r_k is the posterior probability of component k, softmax_k(log w_k + log N(x_hat; mu_k, (s_k^2 + sigma^2) I)).
    ``weights`` (K,) are positive and are normalised; ``means`` (K,C,H,W); ``scales`` (K,) >= 0 are the s_k. Source:
    Bishop 2006, Eq. 2.192 and 2.116. UsageError for other shapes or signs, and for sigma = 0 where a scale is 0.
    """

    def __init__(self, weights: Tensor, means: Tensor, scales: Tensor) -> None:
        count = means.shape[0]
        if weights.shape != (count,) or scales.shape != (count,):
            raise UsageError(f"{count} means need as many weights and scales, got {len(weights)} and {len(scales)}")
        if not (bool((weights > 0).all()) and bool((scales >= 0).all())):
            raise UsageError("weights must be positive and scales not negative")
        self._means = means.flatten(1).double()
        self._log_weights = (weights.double() / weights.double().sum()).log()
        self._variances = scales.double() ** 2

    def __call__(self, x_hat: Tensor, sigma: Tensor) -> Denoised:
        """Posterior mean of a batch (B,C,H,W)."""
        check_arguments(x_hat, sigma)
        if bool((self._variances.min().cpu() + sigma**2 <= 0).any()):
            raise UsageError("sigma must be positive where a component is a point")

        def one(row: Tensor, level: Tensor) -> Tensor:
            total = self._variances + level**2
            share = self._joint(row, level).softmax(0)
            # sum_k r_k sigma^2/(s_k^2 + sigma^2) mu_k + (sum_k r_k s_k^2/(s_k^2 + sigma^2)) x_hat
            towards_means = (share * (level**2 / total)) @ self._means
            return towards_means + (share * (self._variances / total)).sum() * row

        return Denoised(_each(one, x_hat, sigma).view_as(x_hat).to(x_hat.dtype))

    def log_density(self, x_hat: Tensor, sigma: Tensor) -> Tensor:
        """Log p_sigma(x_hat) in nats, (B,) float64; differentiable."""
        return _each(lambda row, level: self._joint(row, level).logsumexp(0), x_hat, sigma)

    def _joint(self, row: Tensor, level: Tensor) -> Tensor:
        """Log of w_k N(row; mu_k, (s_k^2 + sigma^2) I) for every component (K,)."""
        total = self._variances + level**2
        distances = ((row - self._means) ** 2).sum(1)
        return self._log_weights - 0.5 * (row.numel() * (2 * math.pi * total).log() + distances / total)


class EmpiricalDenoiser(GaussianMixtureDenoiser):
    """Data drawn evenly from the rows of ``data`` (K,C,H,W): D = sum_i softmax_i(-|x_hat - x_i|^2 / 2 sigma^2) x_i.

    As sigma falls, every sample lands on one of the rows. Source: Karras et al. 2022, Eq. 57. UsageError for no data,
    or sigma = 0.
    """

    def __init__(self, data: Tensor) -> None:
        if not len(data):
            raise UsageError("an empirical denoiser needs at least one datum")
        count = len(data)
        super().__init__(torch.ones(count, device=data.device), data, torch.zeros(count, device=data.device))
