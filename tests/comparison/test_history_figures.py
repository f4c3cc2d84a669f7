"""``diffbench history``: files, figures and what they leave out."""

import json

import pytest
from made_runs import made_run, noise

from diffbench.comparison.history import history
from diffbench.comparison.replicates import replicates
from diffbench.comparison.runs import open_runs
from diffbench.report import replicates as drawing
from diffbench.report.history import MOST_LINES
from diffbench.report.history_page import write_history


@pytest.fixture
def runs(tmp_path):
    cells = [(f"ours-{seed}", "ddim") for seed in range(3)] + [("theirs", f"s{i}") for i in range(MOST_LINES + 2)]
    made = []
    for place in range(2):
        scores = {cell: 5 + noise(number) + 0.1 * noise(100 * place + number) for number, cell in enumerate(cells)}
        made.append(made_run(tmp_path / f"r{place}", scores))
    return made


def test_the_command_writes_frames_figures_and_a_page(diffbench, runs, tmp_path):
    call = ["history", *map(str, runs), "--replicates", "ours-*", "--out", str(tmp_path / "h")]
    code, out, err = diffbench(*call)
    assert code == 0 and "theirs · s0" in out and "ours-*" in out, err
    ends = {"history": ("csv", "parquet", "png", "pdf", "svg", "md"), "replicates": ("csv", "png", "pdf", "svg")}
    assert {path.name for path in (tmp_path / "h").iterdir()} == {
        f"{n}.{end}" for n, own in ends.items() for end in own
    }
    page = (tmp_path / "h" / "history.md").read_text()
    assert "2 cells not drawn, none of them with a real step" in page and "![replicates](replicates.png)" in page
    code, out, _ = diffbench(*call, "--json")
    rows = json.loads(out)
    assert code == 0 and sum("recipe" in row for row in rows) == 2 and len(rows) == 2 * (3 + MOST_LINES + 2) + 2
    before = (tmp_path / "h" / "history.png").read_bytes()
    diffbench(*call)
    assert (tmp_path / "h" / "history.png").read_bytes() == before, "the same input, the same bytes"


def test_replicates_are_drawn_cell_by_cell_or_run_by_run(runs, tmp_path, monkeypatch):
    modes = []
    for name in ("_over_cells", "_over_runs"):
        drawn = getattr(drawing, name)
        monkeypatch.setattr(drawing, name, lambda *a, name=name, drawn=drawn: (modes.append(name), drawn(*a)))
    for folders, models, pooled in ((runs[:1], ["ours-*"], []), (runs, ["ours-*"], []), (runs, ["ours-*"], ["*"])):
        found = history(open_runs(folders))
        write_history(found, replicates(found, models, pooled), tmp_path / "out")
    assert modes == ["_over_cells", "_over_runs", "_over_cells"]


def test_means_of_other_n_are_not_joined(tmp_path):
    folders = [
        made_run(tmp_path / str(place), {(f"ours-{seed}", "ddim"): noise(seed, n) for seed in range(2)})
        for place, n in enumerate((100, 100, 120))
    ]
    recipes = replicates(history(open_runs(folders)), ["ours-*"])
    assert [(one.place, other.place) for one, other in drawing.joined(recipes)] == [(0, 1)]
    assert drawing.joined([recipes[0], recipes[2]]) == [], "nor over a run that lacks it"
