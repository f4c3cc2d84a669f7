"""What ``diffbench check`` says of checkpoints that are read wrongly, and of weights without their moving average.

    python tests/check_finds.py [--steps 400] [--images 128]

Every fault is planted in a copy of a shipped model's card or weights; the shipped models come first. For "EMA off",
training of ddpm-mnist and ldm-mnist goes on from the shipped weights for ``--steps`` steps at the recipe's largest
learning rate, and its last weights are held against their own moving average, image by image.
"""

import argparse
import tempfile
from pathlib import Path

from planted_checkpoints import planted, raw_and_average, with_large_latents

import diffbench
from diffbench.models.card import shipped_models

FAULTS = {
    "epsilon read as v": lambda folder: planted("ddpm-mnist", folder, prediction="v_prediction"),
    "epsilon read as x0": lambda folder: planted("score-vp-mnist", folder, prediction="sample"),
    "[-1, 1] read as [0, 1]": lambda folder: planted("ddpm-mnist", folder, data={"range": [0.0, 1.0]}),
    "latents left unscaled": lambda folder: with_large_latents(folder, 1.0),
    "t told as it is, not times 999": lambda folder: planted(
        "score-vp-mnist", folder, time={"input": "scaled", "scale": 1.0}
    ),
    "sigma told for (log sigma)/4": lambda folder: planted("score-ve-mnist", folder, time={"input": "sigma"}),
}


def line(what, found):
    bands = " ".join(f"{one.band.name} {one.word}" for one in found.bands)
    print(f"{what:34} {found.verdict:8} {found.seconds:5.1f} s  {bands}", flush=True)
    for told in (*found.readings[:1], *found.notes):
        print(f"{'':34} {told}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--images", type=int, default=128)
    arguments = parser.parse_args()
    for name in shipped_models():
        if name != "gaussian-mixture":  # no images of it
            line(name, diffbench.check(name, n=arguments.images, quiet=True))
    with tempfile.TemporaryDirectory() as place:
        for index, (what, plant) in enumerate(FAULTS.items()):
            line(what, diffbench.check(plant(Path(place) / f"planted{index}"), n=arguments.images, quiet=True))
        for name in ("ldm-mnist", "ddpm-mnist"):
            raw, average = raw_and_average(name, Path(place), arguments.steps, 64)
            found = diffbench.check(raw, n=arguments.images, against=average, quiet=True)
            line(f"EMA off, {name}", found)
            for one in found.against:
                low, high = one.difference.interval()
                told = f"{one.band.name}: {100 * one.difference.value:+.1f}% ({100 * low:+.1f} to {100 * high:+.1f}%)"
                print(f"{'':34} {told} {one.verdict.word}", flush=True)


if __name__ == "__main__":
    main()
