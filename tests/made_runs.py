"""Run folders made by hand: a table and values per sample, nothing sampled."""

import json
import os

import numpy as np
import pytest

from diffbench import results
from diffbench.scoring.interval import score_from_influence, score_without_error
from diffbench.status.score_cache import ScoreCache
from diffbench.store.sealed import write_sealed


def made_run(folder, scores, started=None, metric="fid", better="lower", **changes):
    """Write a run whose cells, by (model, sampler), have values per sample (n,), or a text: why there are none.

    The score is the values' mean. ``changes`` are of every row, or in the signature (``reference``).
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        return _made_run(folder, scores, started, metric, better, **changes)


def _made_run(folder, scores, started, metric, better, **changes):
    reference = changes.pop("reference", "real")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, ((model, sampler), values) in enumerate(scores.items()):
        cell, told = f"{number:016x}", isinstance(values, str)
        n = 100 if told else len(values)
        what = json.dumps({"comparable": {"metric": metric, "n": n, "reference": reference}, "other": {}})
        if told:
            score = score_without_error(None, n, values)
        else:
            score = score_from_influence(values.mean(), values - values.mean())
        own = folder / "cells" / cell
        own.mkdir(parents=True, exist_ok=True)
        if not told:
            cache = ScoreCache(own, str(hash(values.tobytes())), "code")
            cache.add(what, score)
            cache.write()
        weights = changes.get("weights", folder)
        write_sealed(own / "cell.json", {"identity": {"model": {"weights": f"{model} {weights}"}}})
        rows.append(
            results.Row(
                suite="made", cell=cell, model=model, family="ddpm", sampler=sampler, grid="g", budget_kind="nfe",
                budget=10, nfe=10.0, n=n, metric=metric, value=score.value, se=score.se, ci_low=score.ci_low,
                ci_high=score.ci_high, better=better, status="failed" if told else "ok", reason=score.reason,
                signature=None if told else what,
            )
        )  # fmt: skip
    results.write(results.frame(rows), folder)
    if started:
        write_sealed(
            folder / "provenance.json", {"started": started, "git": {"commit": "0123456789abcdef", "dirty": True}}
        )
    return folder


def noise(seed, n=100):
    return np.random.default_rng(seed).normal(size=n)
