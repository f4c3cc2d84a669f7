"""``export``: a run's images and results for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from diffbench.cli import completion
from diffbench.cli.group import as_json, only
from diffbench.cli.printing import rows_as_json, say
from diffbench.errors import UsageError


@click.command(short_help="A run's images as PNG or npz; its results to MLflow or W&B.")
@click.argument("run", type=click.Path(path_type=Path), shell_complete=completion.runs)
@click.option("--out", type=click.Path(path_type=Path), help="New folder for images, or for offline runs of W&B.")
@click.option("--png", is_flag=True, help="A folder of PNG files a cell, named by sample index.  [default]")
@click.option("--npz", is_flag=True, help="A file a cell with arr_0, uint8 (n, H, W, C), as guided-diffusion has them.")
@only
@click.option("--mlflow", metavar="URI", help="Log results and report to MLflow: a server, or sqlite:///file.db.")
@click.option("--wandb", is_flag=True, help="Log results and report with Weights & Biases offline, under --out.")
@as_json
def export(
    run: Path, out: Path | None, png: bool, npz: bool, only: str | None, mlflow: str | None, wandb: bool, as_json: bool
) -> None:  # fmt: skip
    """Write the kept images of RUN (`run.keep.samples`), one folder or file a cell; or log RUN to a tracker.

    In MLflow and W&B every sampler on a model is a run, its metrics are logged with steps = NFE, and one more run has
    the report's files.
    """
    if mlflow is not None and (png or npz or wandb or out is not None or only is not None):
        raise UsageError("--mlflow takes no other option")
    if mlflow is not None:
        from diffbench.report.tracking import log_to_mlflow

        logged = log_to_mlflow(run, mlflow)
        if as_json:
            rows_as_json([{"run": logged, "uri": mlflow}])
        else:
            say(f"MLflow run {logged} at {mlflow}")
        return
    if out is None:
        raise UsageError("--out is missing: a folder to write to")
    if wandb:
        if png or npz or only is not None:
            raise UsageError("--wandb takes no other option but --out")
        from diffbench.report.tracking import log_to_wandb

        places = log_to_wandb(run, out)
        if as_json:
            rows_as_json([{"path": str(place)} for place in places])
        for place in () if as_json else places:
            say(place)
        return
    if png and npz:
        raise UsageError("give --png or --npz, not both")
    from diffbench.runner.export import export_images

    found = export_images(run, out, only, "npz" if npz else "png")
    if as_json:
        rows_as_json([{"path": str(folder), "images": count} for folder, count in found.folders.items()])
    for folder, count in () if as_json else found.folders.items():
        say(f"{folder}: {count} images")
    for cell, (kept, n) in found.partly.items():
        say(f"{cell}: {kept or 'none'} of {n} images were kept; run: {{keep: {{samples: {n}}}}} keeps all", err=True)
