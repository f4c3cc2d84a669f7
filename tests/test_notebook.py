"""The example that is read as a notebook: it runs, and leaves a figure with the sampler of one's own in it."""

import re
from pathlib import Path

import pandas as pd

SCRIPT = Path(__file__).resolve().parents[1] / "suites" / "notebook.py"


def test_a_sampler_of_ones_own_in_a_pareto_plot(tmp_path, monkeypatch):
    text = SCRIPT.read_text()
    assert len([line for line in text.splitlines() if line.strip()]) < 35 and text.count("# %%") == 3
    small = re.sub(
        r"budgets=\[5, 10\],\n    samples=160", 'budgets=[4],\n    samples=80, device="cpu", quiet=True', text
    )
    small = small.replace('"seconds": 20, "batch_size": 8', '"seconds": 5, "batch_size": 2')
    assert small != text
    (tmp_path / "notebook.py").write_text(small)
    monkeypatch.chdir(tmp_path)
    exec(compile(small, str(tmp_path / "notebook.py"), "exec"), {"__name__": "notebook"})
    table = pd.read_csv(tmp_path / "pareto.csv")
    assert set(table["sampler"]) == {"damped", "ddim", "dpmpp-2m"} and table["on_front"].any()
    assert (tmp_path / "pareto.svg").is_file() and (tmp_path / "runs" / "mine" / "results.parquet").is_file()
