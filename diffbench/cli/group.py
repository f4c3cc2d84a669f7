"""The root command, and the options that several commands share."""

from __future__ import annotations

import click

from diffbench import __version__

only = click.option("--only", metavar="RULE", help="Cells to take, as in 'model=ddpm-mnist,sampler=ddim,nfe<=20'.")
overrides = click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change a value of the suite.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print rows as one JSON array on stdout.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="diffbench")
def cli() -> None:
    """Benchmark diffusion samplers: quality against cost, with intervals."""
