"""False alarms of ``compare`` on suites without any difference, and how often a real one is found.

    python tests/null_suites.py [--suites 1000] [RUN]

Each suite has 12 scores. Synthetic: FID, KID and IS of features made of shared latents with noise of either side's own,
so that both sides have one distribution and are correlated as same-seed samples are. With a run folder, resampled as
well: n of the stored samples of two of its cells, without replacement, each pair swapped by a coin, so that no side is
better. Prints the share of suites with a WORSE or a BETTER at margin 0, beside the bound alpha + 2 binomial errors, and
the share of suites in which one shifted score is WORSE.
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

from diffbench import results
from diffbench.comparison.paired import paired
from diffbench.comparison.verdict import verdicts
from diffbench.scoring.fid import fid
from diffbench.scoring.inception_score import inception_score
from diffbench.scoring.kid import kid
from diffbench.scoring.reference import Reference, load_reference
from diffbench.store.shards import Store
from diffbench.suite.gates import Margin

SCORES = 12
SHIFT = 0.3
METRICS = {
    "fid": (lambda features, logits, reference: fid(features, reference), True),
    "kid": (lambda features, logits, reference: kid(features, reference), True),
    "is": (lambda features, logits, reference: inception_score(logits), False),
}


def synthetic(rng, n=160, d=16, classes=5):
    """Two sides of one distribution, correlated, and a reference apart from both: (features, logits) twice."""
    latents, weights = rng.normal(size=(n, d)), rng.normal(size=(d, classes))

    def side(shift=0.0):
        features = 0.95 * latents + 0.3 * rng.normal(size=(n, d)) + shift
        return features, features @ weights

    return side


def suite(rng, reference, shift=0.0):
    """12 scores of both sides; the first is shifted."""
    differences, lower = [], []
    for place in range(SCORES):
        metric, is_lower = METRICS[list(METRICS)[place % len(METRICS)]]
        side = synthetic(rng)
        base, new = side(), side(shift if place == 0 else 0.0)
        differences.append(paired(metric(*base, reference), metric(*new, reference)))
        lower.append(is_lower)
    return differences, lower


def resampled_suite(rng, cells, reference, n=100):
    """12 scores of pairs of cells whose samples are swapped by coins."""
    differences, lower = [], []
    pairs = list(combinations(range(len(cells)), 2))
    for place in range(SCORES):
        metric, is_lower = METRICS[list(METRICS)[place % len(METRICS)]]
        one, other = (cells[i] for i in pairs[rng.integers(len(pairs))])
        drawn = rng.permutation(len(one[0]))[:n]
        heads = rng.random((n, 1)) < 0.5
        base = [np.where(heads, a[drawn], b[drawn]) for a, b in zip(one, other, strict=True)]
        new = [np.where(heads, b[drawn], a[drawn]) for a, b in zip(one, other, strict=True)]
        differences.append(paired(metric(*base, reference), metric(*new, reference)))
        lower.append(is_lower)
    return differences, lower


def alarms(suites, alpha, adjust="holm"):
    """Shares of suites with a WORSE, and with a WORSE in the first score."""
    words = [
        [one.word for one in verdicts(differences, lower, [Margin(0.0)] * len(lower), alpha, adjust)]
        for differences, lower in suites
    ]
    return np.mean(["WORSE" in one for one in words]), np.mean([one[0] == "WORSE" for one in words])


def unpaired(differences):
    """Samples that the same comparison would need without pairing, as multiples: the median gain."""
    return float(np.median([one.gain for one in differences if one.gain is not None]))


def stored(run):
    """Features and logits of the cells of a run, model by model the one with most cells, and its reference."""
    rows = results.read(run)
    cells = rows[rows["extractor"].notna()].drop_duplicates("cell")
    model = cells["model"].value_counts().index[0]
    store, found = Store(run), []
    for row in cells[cells["model"] == model].itertuples():
        parts = [store.read(row.cell, shard, row.extractor)[0] for shard in store.ranges(row.cell)]
        found.append([np.concatenate([part[name] for part in parts]).astype(float) for name in ("features", "logits")])
    return found, load_reference(cells["reference"].iloc[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--suites", type=int, default=1000)
    arguments = parser.parse_args()
    count, rng = arguments.suites, np.random.default_rng(0)
    real = rng.normal(size=(2000, 16))
    reference = Reference.of("synthetic", real, np.zeros((2000, 5)), "none", (1, 1, 1))
    null = [suite(rng, reference) for _ in range(count)]
    shifted = [suite(rng, reference, SHIFT) for _ in range(count // 4)]
    tables = {"synthetic, n = 160, d = 16": null}
    if arguments.run:
        cells, own = stored(arguments.run)
        tables[f"resampled from {len(cells)} cells, n = 100"] = [resampled_suite(rng, cells, own) for _ in range(count)]
    print(f"{count} suites of {SCORES} scores without a difference: share with a WORSE")
    for name, suites in tables.items():
        for alpha in (0.01, 0.05):
            bound = alpha + 2 * (alpha * (1 - alpha) / count) ** 0.5
            print(f"  {name:45} alpha {alpha:.2f}: {alarms(suites, alpha)[0]:.4f} (bound {bound:.4f})")
        gain = np.median([unpaired(differences) for differences, _ in suites])
        print(f"  {name:45} pairing saves a factor of {gain:.1f} in samples (median)")
    found = alarms(shifted, 0.01)[1]
    print(f"one FID of {SCORES} shifted by {SHIFT} in every feature: WORSE in {found:.3f} of {len(shifted)} suites")


if __name__ == "__main__":
    main()
