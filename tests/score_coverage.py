"""How often the 95% interval of every metric covers the mean of the metric at its n.

    python tests/score_coverage.py [--repetitions 1000]

Prints one line a metric and distribution of features: coverage, and the mean standard error over the spread of values
(1 is exact, more is too wide). FID is repeated near its floor, where the generator is nearly perfect and n is little.
"""

import argparse

import numpy as np

from diffbench.scoring.density_coverage import coverage, density
from diffbench.scoring.fid import fid
from diffbench.scoring.fid_infinity import fid_infinity
from diffbench.scoring.inception_score import inception_score
from diffbench.scoring.kid import kid
from diffbench.scoring.memorisation import memorisation
from diffbench.scoring.precision_recall import precision, recall
from diffbench.scoring.reference import Reference


def gaussian(rng, n, d):
    return rng.standard_normal((n, d))


def heavy_tailed(rng, n, d):
    """Student's t with 8 degrees of freedom, common to all features of a sample."""
    return rng.standard_normal((n, d)) / np.sqrt(rng.chisquare(8, (n, 1)) / 8)


def clustered(rng, n, d):
    """Ten classes, as digits have."""
    centres = np.random.default_rng(99).standard_normal((10, d)) * 1.5
    return rng.standard_normal((n, d)) + centres[rng.integers(10, size=n)]


def simulate(score, draw, n, d, repetitions, scale=1.1, shift=0.1, real=1500):
    """Coverage of the mean value, and the ratio of mean standard error to the values' spread."""
    rng = np.random.default_rng(n + d)
    spectrum = np.sqrt(1 / np.arange(1, d + 1))
    reference = Reference.of("toy", draw(rng, real, d) * spectrum, np.zeros((real, 2)), "eyes", (1, 1, 1))
    scores = [score((draw(rng, n, d) * scale + shift) * spectrum, reference) for _ in range(repetitions)]
    values = np.array([s.value for s in scores])
    inside = [s.ci_low <= values.mean() <= s.ci_high for s in scores]
    return np.mean(inside), np.mean([s.se for s in scores]) / values.std(ddof=1)


def of_logits(features, reference):
    return inception_score(3 * features)


SHAPES = [gaussian, heavy_tailed, clustered]
MANIFOLDS = {"precision": precision, "recall": recall, "density": density, "coverage": coverage,
             "memorisation": memorisation}  # fmt: skip


def lines():
    """(name, score, distribution, n, d, other arguments)."""
    for draw in SHAPES:
        yield "FID, n / d = 40", fid, draw, 640, 16, {}
        yield "FID, n / d = 2.5", fid, draw, 160, 64, {}
        yield "FID at its floor", fid, draw, 160, 64, {"scale": 1.0, "shift": 0.0}
        yield "FID infinity", fid_infinity, draw, 640, 16, {}
        yield "KID", kid, draw, 200, 16, {"shift": 0.5}
        for name, score in MANIFOLDS.items():
            yield name, score, draw, 300, 8, {"real": 400}
    yield "KID at its floor", kid, gaussian, 100, 16, {"scale": 1.0, "shift": 0.0}
    yield "IS", of_logits, clustered, 400, 10, {}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=1000)
    count = parser.parse_args().repetitions
    print(f"{count} repetitions; a coverage of 0.95 is known to {2 * (0.95 * 0.05 / count) ** 0.5:.3f}")
    print(f"{'metric':20} {'features':14} {'n':>5} {'d':>4} {'coverage':>9} {'se / spread':>12}")
    for name, score, draw, n, d, more in lines():
        covered, ratio = simulate(score, draw, n, d, count, **more)
        print(f"{name:20} {draw.__name__:14} {n:5} {d:4} {covered:9.3f} {ratio:12.2f}", flush=True)


if __name__ == "__main__":
    main()
