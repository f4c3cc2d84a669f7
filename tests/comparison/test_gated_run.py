"""``diffbench run`` of a suite with a baseline, ``diffbench baseline``, and the page of a comparison."""

import re

import pytest
import yaml

from diffbench.comparison.baseline import open_side
from diffbench.comparison.compare import compare
from diffbench.comparison.side import RunSide
from diffbench.report.pairs import comparison_page, largest_changes
from diffbench.runner import provenance, references


@pytest.fixture
def suite(checkpoint, tmp_path, monkeypatch):
    """Writes the suite, with changes, and returns its path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(provenance, "code_state", lambda: None)
    monkeypatch.setattr(references, "floor", lambda reference, n, draws: (0.0, 0.0))

    def write(**changes):
        content = {
            "name": "gated", "samples": {"n": 60, "shard": 60}, "samplers": ["ddim"], "budgets": {"nfe": [2]},
            "models": [{"id": "tiny", "source": str(checkpoint)}], "metrics": ["kid"], "timing": {"seconds": 0},
            "run": {"batch_size": 60, "device": "cpu"},
            "compare": {"baseline": "base.bin", "gates": {"kid": 0, "nfe": "exact"}}, **changes,
        }  # fmt: skip
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
        return str(tmp_path / "s.yaml")

    return write


def clipped(checkpoint):
    return [{"id": "tiny", "source": str(checkpoint), "clip": [-0.2, 0.2]}]


def test_a_suite_is_held_to_its_baseline(diffbench, suite, checkpoint, tmp_path):
    code, _, err = diffbench("run", suite(), "--out", "first", "--quiet")
    assert code == 4 and "base.bin: no baseline there" in err and not (tmp_path / "first").exists()
    code, out, err = diffbench("run", suite(), "--out", "first", "--quiet", "--no-compare")
    assert code == 0 and "Compared" not in out
    code, out, _ = diffbench("baseline", "first", "--out", "base.bin")
    assert code == 0 and re.search(r"base.bin: 0\.\d\d MB, 1 cell", out)
    code, out, _ = diffbench("run", suite(), "--out", "first", "--quiet")
    assert code == 0 and "0 worse, 0 better, 2 the same, 0 inconclusive of 2 gated" in out and "all bit-equal" in out
    assert "✅ no regression" in (tmp_path / "first" / "comparison.md").read_text()

    code, _, _ = diffbench("run", suite(models=clipped(checkpoint)), "--out", "second", "--quiet")
    diffbench("baseline", "second", "--out", "other.bin")
    turned = suite(compare={"baseline": "other.bin", "gates": {"kid": 0}})
    other, _, err = diffbench("run", turned, "--out", "third", "--quiet")
    assert sorted([code, other]) == [0, 1], "worse one way round, better the other"
    assert diffbench("compare", "second")[0] == code and diffbench("compare", "third")[0] == other
    assert diffbench("compare", "third", "--fail-on", "nothing")[0] == 0


def test_what_is_missing_is_no_verdict(diffbench, suite, tmp_path):
    diffbench("run", suite(compare=None), "--out", "first", "--quiet")
    code, _, err = diffbench("compare", "first")
    assert code == 2 and "one whose suite has a baseline; first has none" in err
    diffbench("baseline", "first", "--out", "base.bin")
    more = suite(budgets={"nfe": [2, 3]}, metrics=["kid", "is"], compare=None)
    diffbench("run", more, "--out", "more", "--quiet")
    diffbench("baseline", "more", "--out", "more.bin")
    code, _, err = diffbench("run", suite(compare={"baseline": "more.bin"}), "--out", "first", "--quiet")
    assert code == 3 and "something is missing: tiny · ddim @ nfe 3, kid: only in the base\n" in err
    code, _, err = diffbench("run", suite(samples=50), "--out", "fewer", "--quiet")
    assert code == 2 and "n: 60 in the base, 50 in the new" in err
    code, _, err = diffbench("run", suite(compare={"baseline": "first"}), "--out", "first", "--quiet")
    assert code == 2 and "the run's own folder" in err
    code, out, _ = diffbench("run", suite(), "--out", "smoke", "--quiet", "--smoke")
    assert code == 0 and "Compared" not in out


def test_the_page_shows_the_images_that_changed_most(diffbench, suite, checkpoint, tmp_path):
    diffbench("run", suite(compare=None), "--out", "first", "--quiet")
    diffbench("run", suite(compare=None, models=clipped(checkpoint)), "--out", "second", "--quiet")
    base, new = open_side(tmp_path / "first"), RunSide.open(tmp_path / "second")
    found = compare(base, new)
    (pairs,) = largest_changes(found, base, new)
    assert pairs.indices == found.samples[next(iter(found.samples))].changed[:8] and len(pairs.strips) == 3
    page = comparison_page(found, base, new)
    assert page.count("data:image/png;base64,") == 3 and "<script" not in page and "tiny · ddim @ nfe 2" in page
    assert "No image that both sides keep differs" in comparison_page(compare(base, base), base, base)
    code, _, _ = diffbench("compare", "first", "second", "--html", "page.html", "--fail-on", "nothing")
    assert code == 0 and (tmp_path / "page.html").read_text().count("<img") == 3


def test_other_seeds_and_untested_scores_are_said(diffbench, suite):
    diffbench("run", suite(compare=None), "--out", "first", "--quiet")
    diffbench("run", suite(compare=None, seed=1), "--out", "second", "--quiet")
    diffbench("baseline", "first", "--out", "base.bin")
    for base in ("first", "base.bin"):
        _, out, _ = diffbench("compare", base, "second", "--fail-on", "nothing")
        assert "other seeds (0 and 1): samples start from other noise" in out and "networks answer as before" in out
    few = {"samples": 40, "run": {"batch_size": 40, "device": "cpu"}, "compare": None}
    for name, seed in (("a", 0), ("b", 1)):
        diffbench("run", suite(**few, seed=seed), "--out", name, "--quiet")
    _, out, _ = diffbench("compare", "a", "b", "--fail-on", "nothing")
    assert "1 score not tested: 40 samples: a test needs 50" in out
