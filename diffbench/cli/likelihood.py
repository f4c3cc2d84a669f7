"""``likelihood``: bits/dim of models on real images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffbench.cli import completion
from diffbench.cli.group import allowing, data_option, network_options, read_range
from diffbench.cli.group import as_json as _json
from diffbench.cli.printing import say, show

if TYPE_CHECKING:
    from diffbench.runner.likelihood import BitsPerDim

_COLUMNS = ("model", "bits/dim", "95% interval", "minus first", "n", "NFE", "sigma_min")


@click.command(short_help="Bits/dim of models on real images, by the probability-flow ODE.")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, shell_complete=completion.models)
@data_option
@click.option("--n", type=click.IntRange(min=1), help="The first N images.  [default: 128, or all if fewer]")
@click.option(
    "--dequantisation",
    type=click.Choice(["uniform", "rounding"]),
    default="uniform",
    show_default=True,
    help="Pixel k as a value in [k, k+1)/256 of the range (Score-SDE), or in what rounds to k/255.",
)
@click.option("--probes", type=click.IntRange(1, 1000), default=1, show_default=True, help="Vectors of the trace.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.005,
    show_default=True,
    help="Bits/dim that doubling the steps may change, image by image.",
)
@click.option(
    "--t-end",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Time that the ODE ends at, for models in continuous time.  [default: the schedule's; Score-SDE: 1e-5]",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of dequantisation and probes."
)
@click.option(
    "--run",
    "run_folder",
    metavar="RUN",
    type=click.Path(path_type=Path),
    shell_complete=completion.runs,
    help="Run folder whose report shows it too.",
)
@network_options
@allowing
@_json
def likelihood(
    models: tuple[str, ...], as_json: bool, run_folder: Path | None, values: str | None, **options: Any
) -> None:
    """Bits/dim of every MODEL (a shipped model's name, or a folder with a card) on real 8-bit images.

    It belongs to a model, not to a sampler: the density that the probability-flow ODE gives the images, without the
    card's clipping, integrated to sigma_min. The trace of the Jacobian is Hutchinson's estimate. Lower is better.
    Several models are compared image by image, with the same noise: "minus first" has the interval of that difference.
    """
    from diffbench.models.find import load_card
    from diffbench.runner.likelihood import check_run, keep
    from diffbench.runner.likelihood import likelihood as measure

    for model in models:  # before hours are spent
        load_card(model)
    if run_folder is not None:
        check_run(run_folder)
    measured = []
    for model in models:
        measured.append(measure(model, values=read_range(values), **options))
        if run_folder is not None:
            keep(run_folder, measured[-1])
    first, *others = measured
    apart = [None, *(one.minus(first) for one in others)]
    if as_json:
        pairs = [dict(zip(("minus_first", "minus_first_se"), pair or (None, None), strict=True)) for pair in apart]
        show([{**one.to_dict(), **pair} for one, pair in zip(measured, pairs, strict=True)], True, ())
        return
    show([_row(one, pair) for one, pair in zip(measured, apart, strict=True)], False, _COLUMNS)
    say(f"on {first.split}; sha256 {first.data_sha256[:12]}…; seed {first.seed}")
    how = f"dequantisation {first.dequantisation}, probes {first.probes}"
    say(f"{how}, steps doubled until no image moves by more than {first.tolerance:g} bits/dim")
    for one in measured:
        if one.reason is not None:
            say(f"{one.model}: {one.reason}")


def _row(one: BitsPerDim, pair: tuple[float, float] | None) -> dict[str, str]:
    interval = "–" if one.ci_low is None or one.ci_high is None else f"{one.ci_low:.4f} to {one.ci_high:.4f}"
    return {
        "model": one.model,
        "bits/dim": "–" if one.value is None else f"{one.value:.4f}",
        "95% interval": interval,
        "minus first": "" if pair is None else f"{pair[0]:+.4f} ± {1.96 * pair[1]:.4f}",
        "n": str(one.n),
        "NFE": "–" if one.nfe is None else f"{one.nfe:.0f}",
        "sigma_min": f"{one.sigma_min:.3g}",
    }
