"""``score``, ``reference`` and ``export``: images that something else made, and real ones."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffbench.cli import completion
from diffbench.cli.group import as_json, read_range, values_option
from diffbench.cli.printing import rows_as_json, say, show
from diffbench.errors import ImagesError, UsageError

if TYPE_CHECKING:
    from diffbench.scoring.pictures import Pictures
    from diffbench.scoring.reference import Reference

EXTRACTOR = "mnist-features"

_extractor = click.option("--extractor", default=EXTRACTOR, show_default=True, help="In whose eyes.",
                          shell_complete=completion.extractors)  # fmt: skip
_device = click.option("--device", metavar="DEVICE", default="auto", help="auto, cpu, cuda or cuda:<index>.")


@click.command(short_help="Score images made by anything else.")
@click.argument("images", type=click.Path(path_type=Path))
@click.option(
    "--reference", "real", metavar="REFERENCE", help="A shipped name, a reference file, mu and sigma, or images."
)
@click.option("--reference-range", metavar="LOW,HIGH", help="Black and white of a float array of real images.")
@_extractor
@click.option("--metrics", default="fid,is,kid", show_default=True, help="Names, as in a suite.")
@click.option("--name", help="What the images are called in the table.  [default: the file's or folder's name]")
@values_option
@_device
@click.option("--out", type=click.Path(path_type=Path), help="Write table and report to this folder.")
@click.option("--labels", type=click.Path(path_type=Path), help="An .npy of a class for each image: FID per class.")
@click.option("--reference-labels", type=click.Path(path_type=Path), help="The same of the real images.")
@click.option("--prompts", type=click.Path(path_type=Path), help="A text file with a line for each image: CLIP score.")
@as_json
def score(
    images: Path,
    real: str | None,
    reference_range: str | None,
    extractor: str,
    metrics: str,
    name: str | None,
    values: str | None,
    device: str,
    out: Path | None,
    labels: Path | None,
    reference_labels: Path | None,
    prompts: Path | None,
    as_json: bool,
) -> None:
    """Score IMAGES: a folder of PNG or JPEG, or an .npz or .npy of uint8 (N,H,W,C) or (N,C,H,W).

    Same extraction, metrics and intervals as in a run: images exported from one score what the run says, to the last
    digit.
    """
    from diffbench import results
    from diffbench.api import open_reference
    from diffbench.api import score as score_images
    from diffbench.scoring.pictures import open_pictures

    _tell_ignored(open_pictures(images, read_range(values)))
    found = score_images(
        images,
        reference=real if real is None else open_reference(real, extractor, device, read_range(reference_range)),
        extractor=extractor,
        metrics=[one.strip() for one in metrics.split(",")],
        name=name,
        values=read_range(values),
        device=device,
        out=out,
        labels=_labels(labels),
        reference_labels=_labels(reference_labels),
        prompts=_lines(prompts),
    )
    rows = results.rows(found.frame)
    if as_json:
        rows_as_json(rows)
        return
    show([_shown(row) for row in rows], False, ("metric", "value", "95% interval", "n", "note"))
    if out is not None:
        say(f"Report: {out / 'report.html'}   table: {out / results.PARQUET}")


def _tell_ignored(pictures: Pictures) -> None:
    from diffbench.document.words import counted

    if pictures.ignored:
        say(f"{counted(pictures.ignored, 'other file')} in the folder, neither PNG nor JPEG by name: ignored", err=True)


def _label(row: dict[str, Any]) -> str:
    options = json.loads(row["options"])
    return f", class {options['label']}" if "label" in options else ""


def _labels(path: Path | None) -> Any:
    """Whole numbers (n,) from an .npy; nothing is unpickled."""
    import numpy as np

    from diffbench.scoring.picture_arrays import read_header

    if path is None:
        return None
    _require_regular(path)
    try:
        with path.open("rb") as stream:
            dims, dtype = read_header(path, stream)
            if stream.tell() + dtype.itemsize * math.prod(dims) != path.stat().st_size:
                raise UsageError(f"{path}: does not hold the {' x '.join(map(str, dims))} values that it claims")
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, ImagesError) as error:
        raise UsageError(f"{path}: can't be read as .npy ({error})") from None
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "iu":
        raise UsageError(f"{path}: labels are whole numbers, one an image")
    return found


def _require_regular(path: Path) -> None:
    """Raise UsageError for a pipe or a device, reading which might never end."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: not a regular file")


def _lines(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    _require_regular(path)
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: can't be read as text ({error})") from None


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    from diffbench.report.frame import title
    from diffbench.report.measured import number

    ends = [number(row[name], 5) for name in ("ci_low", "ci_high")]
    interval = "–" if row["ci_low"] is None else " to ".join(ends)
    note = row["reason"] or ""
    return {
        "metric": title(row["metric"]) + _label(row),
        "value": number(row["value"], 5),
        "95% interval": interval,
        "n": row["n"],
        "note": note,
    }


@click.group()
def reference() -> None:
    """Features and statistics of real data."""


@reference.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What scores and suites call it.")
@_extractor
@click.option("--split", default="", help="Which part of the data set this is, for the record.")
@values_option
@_device
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder to write to.  [default: here]")
@as_json
def build(
    images: Path, name: str, extractor: str, split: str, values: str | None, device: str, out: Path, as_json: bool
) -> None:
    """Build a reference from IMAGES, as `diffbench score` reads them."""
    from diffbench.runner.devices import pick_device
    from diffbench.runner.external import reference_of
    from diffbench.scoring.extractor import load_extractor
    from diffbench.scoring.pictures import open_pictures
    from diffbench.scoring.reference_file import write_reference

    pictures = open_pictures(images, read_range(values))
    _tell_ignored(pictures)
    found = reference_of(
        pictures, load_extractor(extractor, pick_device(device)), _name(name),
        {"split": split, "source": images.name},
    )  # fmt: skip
    path = write_reference(found, out)
    _tell_written(path, found, as_json, f"{found.n} images")


def _tell_written(path: Path, found: Reference, as_json: bool, what: str) -> None:
    if as_json:
        row = {"n": found.n or None, "dimension": int(found.mean.size), "extractor": found.extractor}
        rows_as_json([{"path": str(path), "name": found.name, **row}])
    else:
        say(f"{path}: {what} in the eyes of {found.extractor}")


@reference.command("import")
@click.argument("moments", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What scores call it.")
@click.option(
    "--extractor",
    required=True,
    shell_complete=completion.extractors,
    help="The one that made it; the file does not say.",
)
@click.option("--n", type=click.IntRange(2), help="Number of images; the file does not say.")
@click.option("--split", default="", help="Which part of the data set this is, for the record.")
@click.option("--resize", default="", help="How the images were resized, for the record.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder to write to.  [default: here]")
@as_json
def import_(
    moments: Path, name: str, extractor: str, n: int | None, split: str, resize: str, out: Path, as_json: bool
) -> None:
    """Import the mu and sigma of an .npz, as pytorch-fid, clean-fid and EDM keep them: enough for FID."""
    from dataclasses import replace

    from diffbench.document.words import unknown
    from diffbench.scoring.known import known_extractors
    from diffbench.scoring.reference_file import read_moments, write_reference

    if extractor not in known_extractors():
        raise UsageError(f"--extractor: {unknown('extractor', extractor, known_extractors())}")
    info = {"n": n or 0, "split": split, "resize": resize, "source": moments.name, "extractor_sha256": None}
    found = replace(read_moments(moments, extractor, info), name=_name(name))
    _tell_written(write_reference(found, out), found, as_json, f"moments of dimension {found.mean.size}")


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(f"--name {name!r}: letters, digits, dots, dashes and underscores only")
    return name


@reference.command("show")
@click.argument("source", metavar="REFERENCE")
@click.option("--extractor", help="Of images and of an .npz, which do not say.  [default for images: mnist-features]")
@as_json
def show_reference(source: str, extractor: str | None, as_json: bool) -> None:
    """Say what REFERENCE is: a shipped name, a reference file, or an .npz of mu and sigma."""
    from diffbench.api import open_reference

    found = open_reference(source, extractor or EXTRACTOR)
    stated = extractor or (None if found.info.get("extractor_stated") is False else found.extractor)
    row = {
        "name": found.name, "n": found.n or None, "dimension": int(found.mean.size), "extractor": stated,
        "holds": "moments" if found.features is None else "features", "sha256": found.sha256,
        **{key: found.info.get(key) for key in ("split", "resize", "source")},
    }  # fmt: skip
    if as_json:
        rows_as_json([row])
        return
    for key, value in row.items():
        if value not in (None, ""):
            say(f"{key}: {value}")
