"""Denoisers: what the network is given, what comes back, and the wrappers."""

import numpy as np
import pytest
import torch

from diffbench.diffusion.denoiser import Clipped, Counted, Denoised, NetworkDenoiser
from diffbench.diffusion.prediction import preconditioning
from diffbench.diffusion.schedule import VE, VP, DiscreteDDPM, LinearFlow, SubVP
from diffbench.errors import ScheduleError, UsageError

DDPM = DiscreteDDPM.from_betas("linear", 1e-4, 0.02)


class Recorder:
    """A network that remembers its arguments and returns a fixed multiple of x."""

    def __call__(self, x, t):
        self.x, self.t = x, t
        return 0.5 * x


def x_hat(count=3, dtype=torch.float32):
    return torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(1)).to(dtype)


def test_a_discrete_network_gets_its_index_and_the_rescaled_state():
    network = Recorder()
    index = np.array([0.0, 499.0, 999.0])
    sigma = torch.from_numpy(DDPM.sigma(index))
    x = x_hat()
    x0 = NetworkDenoiser(network, DDPM, "epsilon")(x, sigma).x0
    assert network.t.tolist() == index.tolist()
    assert network.t.dtype == network.x.dtype == x0.dtype == torch.float32
    alpha = torch.from_numpy(DDPM.alphas_cumprod[index.astype(int)]).sqrt().view(3, 1, 1, 1)
    torch.testing.assert_close(network.x.double(), alpha * x.double(), rtol=1e-6, atol=1e-6)
    eps = 0.5 * network.x.double()
    expected = (alpha * x.double() - (1 - alpha**2).sqrt() * eps) / alpha
    torch.testing.assert_close(x0.double(), expected, rtol=1e-5, atol=1e-5)


def test_a_continuous_network_gets_scaled_time():
    network = Recorder()
    t = np.array([1.0, 0.25, 1e-3])
    NetworkDenoiser(network, VP(), "epsilon", time_scale=999.0)(x_hat(), torch.from_numpy(VP().sigma(t)))
    np.testing.assert_allclose(network.t.numpy(), 999 * t, rtol=1e-6)


def test_a_network_may_be_conditioned_on_sigma():
    network = Recorder()
    sigma = torch.tensor([0.5, 3.0, 40.0], dtype=torch.float64)
    x = x_hat()
    x0 = NetworkDenoiser(network, VE(), "score", conditioning="sigma")(x, sigma).x0
    assert network.t.tolist() == sigma.tolist()
    torch.testing.assert_close(x0, x + sigma.float().view(3, 1, 1, 1) ** 2 * 0.5 * x)


def test_a_network_may_be_conditioned_on_the_logarithm_of_sigma():
    network = Recorder()
    sigma = torch.tensor([0.011, 1.0, 40.0], dtype=torch.float64)
    NetworkDenoiser(network, VE(), "score", time_scale=0.25, conditioning="log-sigma")(x_hat(), sigma)
    np.testing.assert_allclose(network.t.numpy(), [-1.12746500, 0.0, 0.92221986], rtol=1e-7, atol=1e-7)


def test_edms_preconditioning_scales_what_the_network_sees():
    # The formulas of NVlabs/edm's training/networks.py (EDMPrecond), worked out by hand for sigma = 0.75, data 1.
    network = Recorder()
    x = x_hat(1)
    sigma = torch.tensor([0.75], dtype=torch.float64)
    x0 = NetworkDenoiser(network, VE(), "edm", conditioning="log-sigma", sigma_data=1.0)(x, sigma).x0
    torch.testing.assert_close(network.x, 0.8 * x)
    torch.testing.assert_close(x0, 0.64 * x + 0.6 * (0.5 * 0.8 * x))
    # A huge state does not reach the network as such.
    NetworkDenoiser(network, VE(), "edm", sigma_data=0.3)(50 * x, torch.tensor([50.0], dtype=torch.float64))
    torch.testing.assert_close(network.x, x, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("state", "net", "time"),
    [
        (torch.float32, torch.bfloat16, torch.float32),
        (torch.float64, torch.float32, torch.float32),
        (torch.float64, torch.float64, torch.float64),
    ],
)
def test_only_the_network_runs_in_its_own_dtype(state, net, time):
    network = Recorder()
    sigma = torch.tensor([0.5, 3.0, 40.0], dtype=torch.float64)
    x = x_hat(dtype=state)
    x0 = NetworkDenoiser(network, VP(), "sample", dtype=net)(x, sigma).x0
    assert (network.x.dtype, network.t.dtype, x0.dtype) == (net, time, state)
    # The skip connection keeps the state's precision.
    zero = NetworkDenoiser(lambda x, t: torch.zeros_like(x), VP(), "epsilon", dtype=net)
    assert torch.equal(zero(x, sigma).x0, x)


def test_samples_do_not_depend_on_the_batch():
    denoiser = NetworkDenoiser(lambda x, t: torch.sin(x) * t.view(-1, 1, 1, 1), DDPM, "v_prediction")
    x, sigma = x_hat(7), torch.linspace(0.02, 100, 7, dtype=torch.float64)
    whole = denoiser(x, sigma).x0
    for i in range(7):
        assert torch.equal(denoiser(x[i : i + 1], sigma[i : i + 1]).x0[0], whole[i])
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    assert torch.equal(denoiser(x[order], sigma[order]).x0, whole[order])


SCHEDULES = {
    "epsilon": DDPM,
    "v_prediction": DiscreteDDPM.from_betas("cosine"),
    "sample": VP(),
    "score": SubVP(),
    "flow": LinearFlow(),
    "edm": VE(),
}


@pytest.mark.parametrize("state", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_sample_gets_the_same_bits_at_one_level_for_all_and_at_its_own(kind, state):
    schedule = SCHEDULES[kind]
    network = Recorder()
    denoiser = NetworkDenoiser(network, schedule, kind, time_scale=7.3, conditioning="log-sigma", sigma_data=0.5)
    levels = torch.logspace(*np.log10([schedule.sigma_min * 1.01, schedule.sigma_max * 0.99]), 401, dtype=torch.float64)
    x = x_hat(1, state).repeat(2, 1, 1, 1)
    mixed = denoiser(x[:1].expand(401, -1, -1, -1), levels).x0
    inputs, times = network.x, network.t
    for i, level in enumerate(levels):
        for _ in range(2):  # also from what the denoiser has kept
            assert torch.equal(denoiser(x, level.expand(2)).x0[1], mixed[i])
            assert torch.equal(network.x[1], inputs[i])
            assert network.t.tolist() == [times[i].item()] * 2
    assert mixed.dtype == state


def test_coefficients_are_worked_out_once_for_a_level(monkeypatch):
    calls = []

    def counting(*args):
        calls.append(args)
        return preconditioning(*args)

    monkeypatch.setattr("diffbench.diffusion.denoiser.preconditioning", counting)
    denoiser = NetworkDenoiser(Recorder(), VP(), "epsilon")
    for count in (3, 2, 3):
        for level in (0.5, 3.0):
            denoiser(x_hat(count), torch.full((count,), level, dtype=torch.float64))
    assert len(calls) == 2


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_estimate_lies_in_memory_as_the_state_does_and_shares_none(kind):
    state = x_hat()
    kept = state.clone()
    output = torch.randn(3, 2, 4, 4).contiguous(memory_format=torch.channels_last)
    for outputs in (output, output.contiguous()):
        denoiser = NetworkDenoiser(lambda x, t, result=outputs: result, VP(), kind)
        x0 = denoiser(state, torch.ones(3, dtype=torch.float64)).x0
        assert x0.stride() == state.stride()
        x0.zero_()
        assert torch.equal(state, kept) and bool((outputs != 0).all())


def test_an_empty_batch_stays_empty():
    denoised = NetworkDenoiser(Recorder(), VP(), "epsilon")(x_hat(0), torch.ones(0, dtype=torch.float64))
    assert denoised.x0.shape == (0, 2, 4, 4)


@pytest.mark.parametrize(
    ("x", "sigma", "message"),
    [
        (x_hat(), torch.ones(3), "sigma must be float64 on the CPU, one a sample; got torch.float32"),
        (x_hat(), torch.ones(2, dtype=torch.float64), "one a sample; got torch.float64 (2,)"),
        (x_hat(), torch.tensor(1.0, dtype=torch.float64), "one a sample; got torch.float64 ()"),
        (x_hat(dtype=torch.float16), torch.ones(3, dtype=torch.float64), "x_hat must be float32 or float64"),
    ],
)
def test_wrong_arguments_are_refused(x, sigma, message):
    with pytest.raises(UsageError) as caught:
        NetworkDenoiser(Recorder(), VP(), "epsilon")(x, sigma)
    assert message in str(caught.value)


def test_sigmas_and_outputs_that_do_not_fit_are_refused():
    sigma = torch.ones(3, dtype=torch.float64)
    with pytest.raises(ScheduleError, match="is no noise level of the network"):
        NetworkDenoiser(Recorder(), VP(), "epsilon")(x_hat(), 0 * sigma)
    doubled = NetworkDenoiser(lambda x, t: torch.cat([x, x], 1), VP(), "epsilon")
    with pytest.raises(UsageError, match=r"the network returned shape \(3, 4, 4, 4\) for input \(3, 2, 4, 4\)"):
        doubled(x_hat(), sigma)


def test_the_second_half_of_the_channels_is_the_variances_position():
    halves = torch.randn(2, 3, 2, 4, 4)
    output = torch.cat([*halves], 1).bfloat16()
    sigma = torch.full((3,), 0.7, dtype=torch.float64)
    learned = NetworkDenoiser(lambda x, t: output, VP(), "epsilon", dtype=torch.bfloat16, learned_variance=True)
    plain = NetworkDenoiser(lambda x, t: output[:, :2], VP(), "epsilon", dtype=torch.bfloat16)
    for level in (sigma, sigma + torch.arange(3)):
        denoised = learned(x_hat(), level)
        assert torch.equal(denoised.x0, plain(x_hat(), level).x0)
        assert torch.equal(denoised.variance_position, output[:, 2:])
        assert plain(x_hat(), level).variance_position is None
    for channels in (1, 2, 3, 5):
        output = torch.zeros(3, channels, 4, 4)
        wrong = NetworkDenoiser(lambda x, t, out=output: out, VP(), "sample", learned_variance=True)
        with pytest.raises(UsageError, match=rf"returned shape \(3, {channels}, 4, 4\) for input"):
            wrong(x_hat(), sigma)


def test_clipping_bounds_x0_and_keeps_the_rest():
    position = torch.zeros(1)
    clipped = Clipped(lambda x, sigma: Denoised(x, position), -0.5, 0.25)
    given = torch.tensor([-3.0, -0.5, 0.1, 0.3, 3e38, torch.nan, torch.inf, -torch.inf]).view(1, 1, 1, 8)
    denoised = clipped(given, torch.ones(1, dtype=torch.float64))
    expected = torch.tensor([-0.5, -0.5, 0.1, 0.25, 0.25, torch.nan, torch.nan, torch.nan])
    torch.testing.assert_close(denoised.x0.flatten(), expected, rtol=0, atol=0, equal_nan=True)
    assert denoised.variance_position is position
    with pytest.raises(UsageError, match="clip range needs low < high"):
        Clipped(clipped, 1.0, 1.0)


def test_counting():
    counted = Counted(lambda x, sigma: Denoised(x))
    assert (counted.calls, counted.samples_evaluated) == (0, 0)
    x, sigma = x_hat(), torch.ones(3, dtype=torch.float64)
    assert counted(x, sigma).x0 is x
    counted(x[:2], sigma[:2])
    assert (counted.calls, counted.samples_evaluated) == (2, 5)
    counted.reset()
    assert (counted.calls, counted.samples_evaluated) == (0, 0)
