"""Exact denoisers: brute-force posteriors, limits, batches and refusals; tests/laws/test_analytic.py has their laws."""

import numpy as np
import pytest
import torch
from scipy import stats

from diffbench.diffusion.analytic import EmpiricalDenoiser, GaussianDenoiser, GaussianMixtureDenoiser
from diffbench.errors import UsageError

SHAPE = (1, 2, 2)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(size=4):
    root = draw(size, size, seed=3)
    return root @ root.T / size + 0.1 * torch.eye(size, dtype=torch.float64)


def mixture():
    return GaussianMixtureDenoiser(double(2.0, 3.0, 5.0), 2 * draw(3, *SHAPE, seed=4), double(0.3, 0.0, 1.2))


def denoisers():
    return {
        "gaussian": GaussianDenoiser(draw(*SHAPE, seed=2), covariance()),
        "mixture": mixture(),
        "empirical": EmpiricalDenoiser(draw(20, *SHAPE, seed=5)),
    }


def posterior_mean(prior, x, sigma):
    """E[x0 | x] on a fine grid, for a prior density on the line."""
    x0 = np.linspace(-12, 12, 200001)
    weight = prior(x0) * stats.norm.pdf(x, x0, sigma)
    return (weight * x0).sum() / weight.sum()


@pytest.mark.parametrize("sigma", [0.1, 1.0, 6.0])
@pytest.mark.parametrize("x", [-1.7, 0.4, 3.0])
def test_gaussian_posterior_mean_by_quadrature(x, sigma):
    denoiser = GaussianDenoiser(torch.full((1, 1, 1), 0.7), 1.44)
    expected = posterior_mean(lambda x0: stats.norm.pdf(x0, float(torch.tensor(0.7)), 1.2), x, sigma)
    assert denoiser(double(x).view(1, 1, 1, 1), double(sigma)).x0.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 6.0])
@pytest.mark.parametrize("x", [-1.7, 0.4, 3.0])
def test_mixture_posterior_mean_by_quadrature(x, sigma):
    weights, means, scales = (0.25, 0.75), (-1.0, 2.0), (0.3, 0.8)
    denoiser = GaussianMixtureDenoiser(double(1.0, 3.0), double(*means).view(2, 1, 1, 1), double(*scales))

    def prior(x0):
        return sum(w * stats.norm.pdf(x0, m, s) for w, m, s in zip(weights, means, scales, strict=True))

    expected = posterior_mean(prior, x, sigma)
    assert denoiser(double(x).view(1, 1, 1, 1), double(sigma)).x0.item() == pytest.approx(expected, rel=1e-9)


def test_empirical_posterior_mean_by_enumeration():
    data, x, sigma = draw(20, *SHAPE, seed=5).numpy(), draw(3, *SHAPE, seed=6), double(0.5, 1.0, 4.0)
    for row, level, ours in zip(
        x.numpy(), sigma.tolist(), EmpiricalDenoiser(torch.tensor(data))(x, sigma).x0, strict=True
    ):
        likelihood = np.exp(-((row - data) ** 2).sum((1, 2, 3)) / (2 * level**2))
        expected = (likelihood[:, None, None, None] * data).sum(0) / likelihood.sum()
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-12)


def test_densities_are_those_of_scipy():
    x, sigma = draw(4, *SHAPE, seed=6), double(0.1, 0.5, 1.0, 30.0)
    flat = x.flatten(1).numpy()
    mean, cov = draw(*SHAPE, seed=2), covariance()
    gaussian = GaussianDenoiser(mean, cov).log_density(x, sigma)
    for row, level, ours in zip(flat, sigma.tolist(), gaussian.tolist(), strict=True):
        total = cov.numpy() + level**2 * np.eye(4)
        assert ours == pytest.approx(stats.multivariate_normal(mean.flatten().numpy(), total).logpdf(row), rel=1e-10)
    means = (2 * draw(3, *SHAPE, seed=4)).flatten(1).numpy()
    for row, level, ours in zip(flat, sigma.tolist(), mixture().log_density(x, sigma).tolist(), strict=True):
        parts = [
            weight * stats.multivariate_normal(mean, (scale**2 + level**2) * np.eye(4)).pdf(row)
            for weight, mean, scale in zip((0.2, 0.3, 0.5), means, (0.3, 0.0, 1.2), strict=True)
        ]
        assert ours == pytest.approx(np.log(sum(parts)), rel=1e-10)


def test_a_variance_is_a_diagonal_covariance():
    x, sigma = draw(3, *SHAPE), double(0.1, 1.0, 10.0)
    mean = draw(*SHAPE, seed=2)
    dense = GaussianDenoiser(mean, 0.49 * torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(GaussianDenoiser(mean, 0.49)(x, sigma).x0, dense(x, sigma).x0, rtol=1e-13, atol=0)


def test_eigenvalues_that_rounding_made_negative_count_as_zero():
    nearly = torch.diag(double(1e6, 1.0, 1.0, -1e-5))
    mean, x = draw(*SHAPE, seed=2), draw(1, *SHAPE)
    denoised = GaussianDenoiser(mean, nearly)(x, double(1e-3)).x0
    assert denoised.flatten()[3] == mean.flatten()[3]
    with pytest.raises(UsageError, match="covariance has the negative eigenvalue -0.001"):
        GaussianDenoiser(mean, torch.diag(double(1e6, 1.0, 1.0, -1e-3)))


def test_small_noise_lands_on_the_nearest_datum():
    data = draw(20, *SHAPE, seed=5)
    x = data[[3, 11]] + 0.01 * draw(2, *SHAPE, seed=6)
    assert torch.equal(EmpiricalDenoiser(data)(x, double(1e-3, 1e-5)).x0, data[[3, 11]])


def test_large_noise_leaves_the_mean_of_the_data():
    x, sigma = draw(2, *SHAPE), double(1e7, 1e7)
    data = draw(20, *SHAPE, seed=5)
    torch.testing.assert_close(EmpiricalDenoiser(data)(x, sigma).x0, data.mean(0).expand(2, *SHAPE))
    mean = draw(*SHAPE, seed=2)
    torch.testing.assert_close(GaussianDenoiser(mean, covariance())(x, sigma).x0, mean.expand(2, *SHAPE))


def test_no_noise_leaves_the_state():
    x, none = draw(2, *SHAPE), double(0.0, 0.0)
    torch.testing.assert_close(GaussianDenoiser(draw(*SHAPE, seed=2), covariance())(x, none).x0, x)
    smooth = GaussianMixtureDenoiser(double(1.0, 1.0), draw(2, *SHAPE, seed=4), double(0.3, 1.0))
    torch.testing.assert_close(smooth(x, none).x0, x)


@pytest.mark.parametrize("name", denoisers())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_do_not_depend_on_the_batch(name, dtype):
    denoiser = denoisers()[name]
    x, sigma = draw(9, *SHAPE, seed=6).to(dtype), torch.linspace(0.1, 5.0, 9, dtype=torch.float64)
    whole = denoiser(x, sigma).x0
    assert (whole.dtype, whole.shape) == (dtype, x.shape)
    for size in (1, 2, 5):
        parts = [denoiser(x[i : i + size], sigma[i : i + size]).x0 for i in range(0, 9, size)]
        assert torch.equal(torch.cat(parts), whole)
    assert denoiser(x[:0], sigma[:0]).x0.shape == (0, *SHAPE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianDenoiser(torch.zeros(SHAPE), torch.eye(3)), "covariance must be (4, 4) for this mean"),
        (lambda: GaussianDenoiser(torch.zeros(SHAPE), -torch.eye(4)), "covariance has the negative eigenvalue -1"),
        (lambda: GaussianDenoiser(torch.zeros(SHAPE), -0.5), "covariance has the negative eigenvalue -0.5"),
        (lambda: GaussianMixtureDenoiser(double(1.0), draw(2, *SHAPE), double(1.0, 1.0)), "2 means need as many"),
        (lambda: GaussianMixtureDenoiser(double(1.0, 0.0), draw(2, *SHAPE), double(1.0, 1.0)), "must be positive"),
        (lambda: GaussianMixtureDenoiser(double(1.0, 1.0), draw(2, *SHAPE), double(1.0, -1.0)), "not negative"),
        (lambda: EmpiricalDenoiser(torch.zeros(0, *SHAPE)), "needs at least one datum"),
        (lambda: EmpiricalDenoiser(draw(2, *SHAPE))(draw(1, *SHAPE), double(0.0)), "sigma must be positive"),
        (lambda: mixture()(draw(1, *SHAPE), torch.ones(1)), "sigma must be float64"),
        (lambda: GaussianDenoiser(torch.zeros(SHAPE), 1.0)(draw(1, *SHAPE), torch.ones(1)), "sigma must be float64"),
        (lambda: GaussianDenoiser(torch.zeros(SHAPE), 1.0).flow(draw(1, *SHAPE), 0.0, 1.0), "needs sigma_from > 0"),
    ],
)
def test_impossible_requests_are_refused(make, message):
    with pytest.raises(UsageError) as caught:
        make()
    assert message in str(caught.value)
