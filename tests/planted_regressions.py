"""What it takes to see small changes of a trained model: samples that paired and unpaired comparisons need.

    python tests/planted_regressions.py [--samples 400] [--model score-vp-mnist]

Runs a suite of one cell (dpmpp-2m, 10 evaluations) as it is and with each change planted, compares FID, and prints the
difference with its paired 95% interval, the correlation, and how many samples tell it from 0 in 80% of cases at a level
of 1%: (z + z')^2 times the variance of one sample's influence over the difference squared, paired and unpaired. The
difference itself is an estimate, so these numbers are orders of magnitude.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import yaml
from planted_checkpoints import raw_and_average
from safetensors.torch import load_file, save_file

import diffbench
from diffbench import shipped
from diffbench.comparison.paired import paired
from diffbench.comparison.side import RunSide, score_of
from diffbench.samplers.exponential import DPMMultistep
from diffbench.scoring.weights import hash_of

FACTOR = (2.326 + 0.842) ** 2  # one-sided 1%, 80% of cases
STEPS = 400  # of training at the recipe's largest learning rate, for weights without their moving average


class OffByOnePercent(DPMMultistep):
    """dpmpp-2m whose denoised estimates count 1% too much in every step."""

    def __init__(self):
        super().__init__("denoised", 2)

    def plan(self, grid, schedule):
        plan = super().plan(grid, schedule)
        return replace(plan, weights=1.01 * plan.weights)


def checkpoint(model, folder, change):
    """A copy of a shipped model with changed weights, and the hash of its card put right."""
    shutil.copytree(shipped.reference_models() / model, folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (name,) = [name for name in card["sha256"] if name.endswith(".safetensors")]
    weights = {key: change(key, value) for key, value in load_file(folder / name).items()}
    save_file(weights, folder / name)
    card["sha256"][name] = hash_of(folder / name)
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    return {"id": "m", "source": str(folder)}


def eight_bits(name, value, bits=8):
    """Rounded to 2^bits levels between the tensor's extremes."""
    step = (value.max() - value.min()) / (2**bits - 1)
    return value if step == 0 else (value / step).round() * step


def noisy(name, value):
    """Weights 2% off, as those of a moment of training are from their average."""
    import torch

    generator = torch.Generator().manual_seed(len(name))
    return value + 0.02 * value.std() * torch.randn(value.shape, generator=generator) if value.numel() > 1 else value


def run(folder, samples, model, sampler="dpmpp-2m", **more):
    entry = diffbench.SamplerEntry(
        name="off", target="planted_regressions:OffByOnePercent", summary="off by 1%", source="planted", order=None,
        stochastic=lambda options: False,
    )  # fmt: skip
    suite = {
        "name": "planted", "models": [model], "samplers": [{"id": "s", "sampler": sampler, **more}],
        "budgets": {"nfe": [10]}, "samples": samples, "metrics": ["fid"], "timing": {"seconds": 0},
        "run": {"keep": {"samples": 0}},
    }  # fmt: skip
    diffbench.run(suite, folder, samplers=[entry], quiet=True)
    side = RunSide.open(folder)
    (row,) = [row for row in side.rows if row["metric"] == "fid"]
    return score_of(side, row)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--model", default="score-vp-mnist")
    arguments = parser.parse_args()
    n, name = arguments.samples, arguments.model
    plain = {"id": "m", "name": name}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        narrow = {"grid": {"kind": "karras", "rho": 7.0, "sigma_min": 0.011}}
        wide = {"grid": {"kind": "karras", "rho": 7.0, "sigma_min": 0.022}}
        raw, average = ({"id": "m", "source": str(one)} for one in raw_and_average("ddpm-mnist", folder, STEPS, 64))
        pairs = {
            "weights rounded to 8 bits": ({}, {"model": checkpoint(name, folder / "eight", eight_bits)}),
            "weights off by 2% of their spread": ({}, {"model": checkpoint(name, folder / "noisy", noisy)}),
            "EMA off (ddpm-mnist)": ({"model": average}, {"model": raw}),
            "sampler's coefficient off by 1%": ({}, {"sampler": "off"}),
            "final sigma 0.022 instead of 0.011": (narrow, wide),
            "last step left out (sigma_min)": ({}, {"final": "sigma_min"}),
            "clipping off": ({"model": {**plain, "clip": [-1, 1]}}, {}),
            "ddim instead": ({}, {"sampler": "ddim"}),
        }
        print(f"{name}, dpmpp-2m, 10 evaluations, n = {n}")
        print(f"{'change':36} {'FID':>7} {'difference':>20} {'rho':>6} {'paired':>12} {'unpaired':>12} {'factor':>8}")
        for index, (what, (first, second)) in enumerate(pairs.items()):
            both = [run(folder / f"{side}{index}", n, **{"model": plain, **more}) for side, more in
                    (("base", first), ("new", second))]  # fmt: skip
            found = paired(*both)
            needed = FACTOR * n * (found.se / found.value) ** 2
            told = f"{found.value:+.4f} ± {1.96 * found.se:.4f}"
            samples = f"{needed:12,.0f} {needed * found.gain:12,.0f} {found.gain:8.1f}"
            print(f"{what:36} {found.base:7.3f} {told:>20} {found.correlation:6.3f} {samples}", flush=True)


if __name__ == "__main__":
    main()
