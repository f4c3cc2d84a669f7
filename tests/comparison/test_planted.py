"""The short form of ``planted_regressions.py``: a small change of a sampler shows with far fewer samples in pairs."""

from planted_regressions import run

from diffbench.comparison.paired import paired
from diffbench.runner import provenance, references


def test_one_percent_of_a_coefficient_needs_a_tenth_of_the_samples_in_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "code_state", lambda: None)
    monkeypatch.setattr(references, "floor", lambda reference, n, draws: (0.0, 0.0))
    model = {"id": "m", "name": "ldm-mnist"}
    base, off = (run(tmp_path / sampler, 100, model, sampler) for sampler in ("dpmpp-2m", "off"))
    found = paired(base, off)
    assert found.value != 0 and found.correlation > 0.9 and found.gain > 10
