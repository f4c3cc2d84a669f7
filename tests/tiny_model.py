"""A tiny network as a checkpoint on disk: everything real but its quality."""

import hashlib

import torch
import yaml
from diffusers import UNet2DModel


def write_checkpoint(folder, spoil=False, schedule=None, seed=0, learned_variance=False):
    torch.manual_seed(seed)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    sizes = {"block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 4}
    unet = UNet2DModel(28, 1, 1 + learned_variance, **sizes, **blocks)
    if spoil:
        with torch.no_grad():
            unet.conv_out.bias.fill_(torch.nan)
    unet.save_pretrained(folder / "unet")
    files = ("unet/config.json", "unet/diffusion_pytorch_model.safetensors")
    linear = {"kind": "ddpm", "betas": "linear", "beta_start": 0.0001, "beta_end": 0.02, "steps": 1000}
    card = {
        "version": 1,
        "name": folder.name,
        "family": "ddpm",
        "prediction": "epsilon",
        "schedule": schedule or linear,
        "time": {"input": "index"},
        "data": {"range": [-1, 1], "shape": [1, 28, 28], "dataset": "mnist"},
        "clip": [-1, 1],
        "network": {"path": "unet", "class": "UNet2DModel"},
        "codec": None,
        "ema": True,
        "reference": "mnist",
        "extractor": "mnist-features",
        "sha256": {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files},
        "source": "random weights",
        "license": "Apache-2.0",
        **({"variance": "learned-range"} if learned_variance else {}),
    }
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    return folder
