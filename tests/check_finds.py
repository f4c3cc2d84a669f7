"""Plants faults in copies of the shipped models and prints what ``diffbench check`` finds.

``python tests/check_finds.py [FOLDER]``; its output is kept in ``check_finds.txt``. EMA off is not planted by hand: the
shipped weights go on training for 300 steps (``planted_checkpoints.raw_and_average``), and the last weights are checked
against their moving average.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch
from planted_checkpoints import planted, raw_and_average, with_large_latents

from diffbench.runner.check import check

LINEAR = {"kind": "ddpm", "betas": "linear", "beta_start": 1e-4, "beta_end": 0.02, "steps": 1000}
SHIPPED = ("ddpm-mnist", "score-vp-mnist", "score-subvp-mnist", "score-ve-mnist", "ldm-mnist")
STEPS = 300


def faults(folder):
    """What is planted, and where it lies."""
    yield "epsilon read as v", planted("ddpm-mnist", folder / "v", prediction="v_prediction")
    yield "epsilon read as data", planted("ddpm-mnist", folder / "data", prediction="sample")
    edm = {"prediction": "epsilon", "sigma_data": "absent"}
    yield "edm read as epsilon", planted("score-ve-mnist", folder / "edm", **edm)
    yield "[0,1] read as [-1,1]", planted("score-ve-mnist", folder / "unit", data={"range": [-1, 1]})
    yield "[-1,1] read as [0,1]", planted("ddpm-mnist", folder / "signed", data={"range": [0, 1]}, clip=None)
    yield "latents of factor 0.182 (no fault)", with_large_latents(folder / "latents")
    yield "latent scaling 0.182 left out", with_large_latents(folder / "unscaled", 1.0)
    yield "latent scaling 0.966 left out", planted("ldm-mnist", folder / "nearly", codec={"scaling_factor": 1.0})
    yield "time t for 999 t", planted("score-vp-mnist", folder / "time", time={"input": "scaled", "scale": 1})
    slow = {"input": "log-sigma", "scale": 1}
    yield "time log sigma for a quarter of it", planted("score-ve-mnist", folder / "log", time=slow)
    yield "betas linear for scaled_linear", planted("ldm-mnist", folder / "betas", schedule=LINEAR)
    other = {"kind": "subvp", "beta_min": 0.1, "beta_max": 20.0}
    yield "VP read as sub-VP", planted("score-vp-mnist", folder / "subvp", schedule=other)
    yield "no clip in the card (no fault)", planted("ddpm-mnist", folder / "unclipped", clip=None)


def told(what, found, seconds):
    print(f"{what}: {found.verdict}, {seconds:.1f} s")
    for index, one in enumerate(found.bands):
        line = f"    {one.band.name:8} sigma {one.band.low:8.3g} to {one.band.high:8.3g}  {one.word:8}"
        line += f" {one.of_linear:9.3g} of linear {one.of_trivial:9.3g} of trivial"
        if found.against:
            other = found.against[index]
            low, high = (100 * end for end in other.difference.interval())
            line += f"  {100 * other.difference.value:+.2f}% [{low:+.2f}, {high:+.2f}] {other.verdict.word}"
        print(line)
    for reading in found.readings:
        print(f"    - {reading}")
    for note in found.notes:
        print(f"    - {note}")
    sys.stdout.flush()


def checked(what, model, **options):
    begun = time.monotonic()
    told(what, check(model, quiet=True, **options), time.monotonic() - begun)


def main():
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    print("128 digits, 16 sigmas, seed 0, one thread; the first row's seconds have those of imports in them\n")
    for name in SHIPPED:
        checked(f"{name} as it is shipped", name)
    print()
    for what, model in faults(folder):
        checked(what, model)
    print(f"\nEMA off: after {STEPS} more steps, the last weights against their moving average and the shipped weights")
    for name in ("ldm-mnist", "ddpm-mnist"):
        kept = [folder / f"{name}-{kind}" for kind in ("raw", "average")]
        raw, average = kept if all(one.exists() for one in kept) else raw_and_average(name, folder, STEPS, 128)
        checked(f"{name}, last weights against their average", raw, against=average)
        checked(f"{name}, last weights against the shipped ones", raw, against=name)
        checked(f"{name}, their average against the shipped weights", average, against=name)


if __name__ == "__main__":
    main()
