"""``check``: is a model read as it was trained?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffbench.cli import completion
from diffbench.cli.group import allowing, data_option, ema_option, network_options, read_range
from diffbench.cli.group import as_json as _json
from diffbench.cli.printing import rows_as_json, say, show
from diffbench.errors import Inconclusive, Regression

if TYPE_CHECKING:
    from diffbench.comparison.check import Check

_COLUMNS = ("band", "sigma", "error", "of linear", "of trivial", "verdict")


@click.command(short_help="Is a model read as it was trained? Denoising error on real data.")
@click.argument("model", shell_complete=completion.models)
@data_option
@click.option("--n", type=click.IntRange(min=1), help="Images to test on.  [default: 128, or half if there are fewer]")
@click.option("--sigmas", type=click.IntRange(2, 1000), default=16, show_default=True, help="Noise levels.")
@click.option(
    "--against",
    metavar="OTHER",
    shell_complete=completion.models,
    help="A model, or a file of --save, to be compared with image by image.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Relative difference to OTHER that does not matter.",
)
@click.option("--save", type=click.Path(path_type=Path), help="Write a file that --against takes.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for figure (PNG, PDF), CSV and JSON."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the noise, image by image."
)
@click.option("--diagnose/--no-diagnose", default=True, show_default=True, help="Try other readings of the card.")
@ema_option
@network_options
@allowing
@_json
def check(model: str, as_json: bool, save: Path | None, out: Path | None, values: str | None, **options: Any) -> None:
    """Denoising error of MODEL (a shipped model's name, or a folder with a card) on real 8-bit images.

    The mean squared error of D(x0 + sigma n), without the card's clipping, stands beside estimates that need no
    network: the trivial ones (identity, the data's mean, each element shrunk towards its mean) and the best linear one,
    with moments of other images than those tested. A band of sigmas is GOOD where the network errs less than the linear
    estimate, WRONG where it errs more than the trivial ones (t-tests over images, Holm over bands, 1%), else SUSPECT.
    Both allow for 5%, and for a network that misses 3% of its target. Where a band is not GOOD, the same network is
    read in other ways, and what would give much less error is told.

    Weights without their moving average are not wrong, only worse: --against compares with another model.

    Exit codes: 0 every band GOOD, 1 one WRONG or WORSE than OTHER, 2 usage, 3 one SUSPECT or not told from OTHER,
    4 something can't be read or is not finite.
    """
    from diffbench.runner.check import check as measure

    found = measure(model, values=read_range(values), **options)
    if save is not None:
        found.save(save)
    if out is not None:
        from diffbench.report.check import write

        write(found, out)
    if as_json:
        rows_as_json(found.rows())
    else:
        _print(found)
    if found.verdict in ("WRONG", "WORSE"):
        raise Regression(f"{found.model}: {_which(found, found.verdict)}")
    if found.verdict != "GOOD":
        raise Inconclusive(f"{found.model}: {_which(found, 'SUSPECT', 'INCONCLUSIVE')}")


def _print(found: Check) -> None:
    from diffbench.comparison.denoising import MARGIN
    from diffbench.diffusion.denoising_error import RESOLUTION

    columns = [*_COLUMNS, *([f"against {found.other}", ""] if found.against else [])]
    rows = []
    for index, one in enumerate(found.bands):
        values: tuple[Any, ...] = (
            one.band.name,
            f"{one.band.low:.3g} to {one.band.high:.3g}",
            f"{one.error:.3g}",
            f"{one.of_linear:.3g}",
            f"{one.of_trivial:.3g}",
            one.word,
        )
        if found.against:
            other = found.against[index]
            interval = other.difference.interval()
            half = "" if interval is None else f" ± {50 * (interval[1] - interval[0]):.1f}%"
            values += (f"{100 * (other.difference.value or 0):+.1f}%{half}", other.verdict.word)
        rows.append(dict(zip(columns, values, strict=True)))
    show(rows, False, columns)
    say(f"{found.prediction} network; {found.split}; {found.seconds:.1f} s")
    say("error: root mean square in standard deviations of the data; the others: share of the baseline's mean square")
    lenient = [one.band.name for one in found.bands if one.word == "GOOD" and one.of_linear > 1 + MARGIN]
    if lenient:
        missed = f"a network that misses {100 * RESOLUTION:.0f}% of its target may err as much"
        say(f"GOOD in {', '.join(lenient)} sigmas, though above the linear estimate: {missed}")
    for told in found.readings:
        say(f"- {told}")
    for note in found.notes:
        say(f"- {note}")


def _which(found: Check, *words: str) -> str:
    """``WRONG at sigma 0.01 to 2.1``, a word's bands together; what the other model's comparison says after it."""
    said = []
    for word in words:
        own = [one.band for one in found.bands if one.word == word]
        other = [one.band for one in found.against if one.verdict.word == word]
        for bands, suffix in ((own, ""), (other, f" against {found.other}")):
            if bands:
                said.append(f"{word}{suffix} in {', '.join(band.name for band in bands)} sigmas")
    return "; ".join(said)
