"""What a report says of scores that are missing: why, and once."""

import io
from dataclasses import replace

from rich.console import Console

from diffbench import results
from diffbench.report.content import content
from diffbench.report.folder import open_run
from diffbench.report.page import draw
from diffbench.report.tables import terminal_table

WHY = "{} has no feature extractor"


def without_extractor(rows):
    """As of models whose cards name none: samples and their costs, and no score."""
    gone = {"value": None, "se": None, "ci_low": None, "ci_high": None, "signature": None, "extractor": None}
    why = {"reference": None, "reason": WHY.format(rows[0].model)}
    return [replace(row, **gone, **why) if row.metric in ("fid", "is", "kid") else row for row in rows
            if rows[0].sampler == "ddim" and row.metric != "peak_memory_mb"]  # fmt: skip


def test_a_run_without_extractors_says_why_once_and_has_no_empty_section(new_run, tmp_path):
    models = ("ddpm-mnist", "latent-mnist")
    run = new_run(tmp_path / "run", without_extractor, models=models, images=False)
    draw(run)
    html, markdown = (run / "report.html").read_text().partition("<script")[0], (run / "report.md").read_text()
    for heading in ("Best sampler", "Quality against cost", "Do the deterministic", "equal quality", "Pareto"):
        assert heading not in html and heading not in markdown, heading
    assert (
        'href="#samples"' in html
        and "#figures" not in html
        and "No deterministic sampler" not in html
        and "In bold" not in html
    )
    for model in models:
        assert f"No cell of {model} was scored: {WHY.format(model)}." in html
        assert f"No cell of {model} was scored: {WHY.format(model)}." in markdown
    gaps = content(open_run(run), []).gaps
    assert [[entry.text for entry in row] for row in gaps.rows] == [
        [f"all of {model}", "FID, IS, KID", "missing", WHY.format(model)] for model in models
    ]
    out = io.StringIO()
    Console(file=out, width=100).print(terminal_table(results.read(run)))
    assert "FID" not in out.getvalue() and "–" not in out.getvalue() and out.getvalue().count("ddim") == 8


def test_a_model_without_an_extractor_beside_others_says_why(new_run, tmp_path):
    def change(rows):
        return without_extractor(rows) if rows[0].model == "latent-mnist" else rows

    run = new_run(tmp_path / "run", change, models=("ddpm-mnist", "latent-mnist"), images=False)
    said = content(open_run(run), [])
    assert said.unscored == (f"No cell of latent-mnist was scored: {WHY.format('latent-mnist')}.",)
    assert dict(said.answers)["latent-mnist"] == ("no FID", f"the reason: {WHY.format('latent-mnist')}")
    assert [one.model for one in said.agreements] == ["ddpm-mnist"]


def test_other_reasons_of_the_same_cells_have_rows_of_their_own(new_run, tmp_path):
    why = {"fid": "too few samples", "kid": "too few samples", "is": "no logits"}

    def change(rows):
        if (rows[0].sampler, rows[0].budget) != ("ddim", 5):
            return rows if rows[0].sampler == "ddim" else []
        gone = {"value": None, "se": None, "ci_low": None, "ci_high": None, "signature": None}
        return [replace(row, **gone, reason=why[row.metric]) if row.metric in why else row for row in rows]

    run = open_run(new_run(tmp_path / "run", change, models=("ddpm-mnist",), images=False))
    assert [[entry.text for entry in row] for row in content(run, []).gaps.rows] == [
        ["ddpm-mnist · ddim @ NFE 5", "FID, KID", "missing", "too few samples"],
        ["ddpm-mnist · ddim @ NFE 5", "IS", "missing", "no logits"],
        ["all cells", "peak memory, MB", "missing", "the operating system does not say"],
    ]
