"""Copies of shipped models with a fault of a kind that real checkpoints have."""

import hashlib
import shutil
import sys
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file

from diffbench import shipped
from diffbench.models.find import load_card

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

WEIGHTS = "diffusion_pytorch_model.safetensors"
FACTOR = 0.18215  # Stable Diffusion's


def planted(name, folder, **changes):
    """A shipped model whose card says something else; ``key=None`` sets null, a mapping updates one."""
    if not folder.exists():
        shutil.copytree(shipped.reference_models() / name, folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    for key, value in changes.items():
        old = card.get(key)
        merge = isinstance(value, dict) and isinstance(old, dict) and key != "schedule" and key != "time"
        card[key] = {**old, **value} if merge else value
        if card[key] == "absent":
            del card[key]
    (folder / "card.yaml").write_text(yaml.safe_dump({**card, "name": folder.name}))
    return folder


def with_weights(folder, path, weights):
    """Replace the weights of a copy's network, and their sha256 in its card."""
    file = f"{path}/{WEIGHTS}"
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / file)
    return planted("", folder, sha256={file: hashlib.sha256((folder / file).read_bytes()).hexdigest()})


def with_large_latents(folder, scaling_factor=FACTOR):
    """ldm-mnist with another unit of latents: the same model, whose scaling factor is as far from 1 as others' are.

    The encoder's last layer and the decoder's first are scaled by k and 1/k, and the card's factor by 1/k.
    """
    planted("ldm-mnist", folder)
    k = load_card("ldm-mnist").codec.scaling_factor / FACTOR
    weights = {key: value.float() for key, value in load_file(folder / "vqvae" / WEIGHTS).items()}
    for part in ("weight", "bias"):
        weights[f"quant_conv.{part}"][:4] *= k  # the means; the other half are log-variances
    weights["post_quant_conv.weight"] /= k
    with_weights(folder, "vqvae", weights)
    return planted("", folder, codec={"scaling_factor": scaling_factor})


def raw_and_average(name, folder, steps, batch, seed=0):
    """Two copies of a shipped model that went on training from its weights: the last weights, and their average.

    The model's own loss, data, optimizer, largest learning rate (1e-3, constant after a tenth of the steps) and moving
    average; only the number of steps, and perhaps the batch, are smaller. The shipped weights are an average from the
    end of a run whose learning rate had fallen to a hundredth: there, the last weights would hardly differ.
    """
    from reference_models.training import autoencoder, diffusion, shipping
    from reference_models.training.loop import Recipe

    class Constant(Recipe):
        def lr_at(self, step):
            return self.lr * min(1.0, (step + 1) / max(1, self.steps // 10))

    source = shipped.reference_models() / name
    usual = {"ddpm-mnist": diffusion.PIXELS, "ldm-mnist": diffusion.LATENTS}[name]
    recipe = Constant(**{**vars(usual), "steps": steps, "batch": batch, "seed": seed})
    network = shipping.load_unet(source / "unet")
    if name == "ldm-mnist":
        codec = shipping.load_autoencoder(source / "vqvae")
        data = autoencoder.encode(codec) * codec.config["scaling_factor"]
        betas = diffusion.scaled_linear_betas()
    else:
        data, betas = diffusion.digits.images11(), diffusion.linear_betas()
    checkpoint = folder / f"{name}.pt"
    diffusion.fit_discrete(name, network, data, betas, recipe, checkpoint)
    made = {"average": network.state_dict(), "raw": torch.load(checkpoint, weights_only=True)["model"]}
    return tuple(
        with_weights(planted(name, folder / f"{name}-{kind}"), "unet", {k: v.half() for k, v in made[kind].items()})
        for kind in ("raw", "average")
    )
