"""Defaults of every sampler's options and of the papers' grids, against what the papers and their authors' code use."""

import pytest

from diffbench.catalog import PRESETS, SAMPLERS

# Options that are diffbench's own, with the value that leaves them out.
OURS = {"brownian": False, "coupled": False}

EDM = {"s_churn": 0.0, "s_min": 0.0, "s_max": 1e9, "s_noise": 1.0}  # edm's generate.py, edm_sampler; there inf, not 1e9
ANCESTRAL = {"eta": 1.0}  # k-diffusion, get_ancestral_step
THIRD_ORDER = {"corrected": False, "lower_order_final": True}  # dpm-solver, sample(); corrected is diffbench's own

PUBLISHED = {
    "ddim": {"eta": 0.0},  # DDIM, section 4.1: what is called DDIM
    "euler-ancestral": ANCESTRAL,
    "dpm2-ancestral": ANCESTRAL,
    "dpmpp-2s-ancestral": ANCESTRAL,
    "ddpm": {"variance": "fixed_small"},  # diffusers, DDPMScheduler; DDPM, section 3.2, finds both alike
    "edm-euler": EDM,
    "heun": EDM,
    # The first configuration in params_cifar10_vp.txt of the authors' code, [3, 2, 0.06, 0.30]: three points, hence two
    # of Heun's steps, gone twice.
    "restart": {"s_min": 0.06, "s_max": 0.3, "restart_steps": 2, "iterations": 2},
    "dpm-solver-3m": THIRD_ORDER,
    "dpmpp-3m": THIRD_ORDER,
    "sde-dpmpp-3m": THIRD_ORDER,
    # UniPC-3 of the paper's unconditional tables; bh2 is diffusers' default, bh1 that of the authors' code.
    "unipc": {"order": 3, "variant": "bh2", "lower_order_final": True},
    "deis": {"variable": "t", "degree": 3},  # the authors' README: method "t_ab", ab_order 3
    "lms": {"order": 4},  # k-diffusion, sample_lms
    "ipndm": {"order": 4},  # PNDM, Eq. 12
    "ipndm-v": {"order": 4},
    "pndm": {"warm_up": "runge-kutta"},  # PNDM, Algorithm 2
    # The authors' README: orders 3 and 4 for unconditional models, tau 1 for the diffusion's own SDE.
    "sa-solver": {"tau": 1.0, "s_min": 0.0, "s_max": 1e9, "predictor_order": 3, "corrector_order": 4},
    # These three: score_sde_pytorch, default_cifar10_configs.py.
    "reverse-diffusion": {"probability_flow": False},
    "langevin": {"corrector_steps": 1, "snr": 0.16},
    "predictor-corrector": {"predictor": "reverse-diffusion", "corrector_steps": 1, "snr": 0.16},
    "rk45": {"rtol": 1e-5, "atol": 1e-5},  # Score-SDE, appendix D.4
    "dpm-adaptive": {"order": 3, "rtol": 0.05, "atol": 0.0078},  # DPM-Solver, appendix C, Algorithm 7
}


@pytest.mark.parametrize("name", [name for name in SAMPLERS if SAMPLERS.built_in(name)])
def test_defaults_are_the_published_ones(name):
    chosen = SAMPLERS[name].options().model_dump()
    own = {key: chosen.pop(key) for key in OURS if key in chosen}
    assert own == {key: OURS[key] for key in own}
    assert chosen == PUBLISHED.get(name, {})


def test_restart_costs_what_the_authors_loop_does():
    """18 of Heun's steps take 35 evaluations; their first configuration adds two by two by two."""
    assert SAMPLERS["restart"].nfe(18) == 43


def test_grids_of_papers_have_the_published_exponents():
    assert PRESETS["edm"] == ("karras", {"rho": 7.0})  # EDM, section 3: "rho = 7 for the remainder"
    assert PRESETS["deis"] == ("time", {"rho": 2.0})  # the authors' README: ts_phase "t", ts_order 2
