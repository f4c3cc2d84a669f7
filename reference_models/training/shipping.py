"""Writing of finished networks: weights in the diffusers layout, their cards, and the reference statistics."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers import AutoencoderKL, DDIMScheduler, DDPMPipeline, DDPMScheduler, LDMPipeline, UNet2DModel
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from diffbench.scoring.mnist_features import FEATURE_DIM, MnistFeatures

from . import diffusion, digits, features

WEIGHTS = "diffusion_pytorch_model.safetensors"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON, ended by a newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _forget_origin(folder: Path) -> None:
    """Remove the place a network was loaded from, which diffusers likes to record, from all configurations."""
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        content.pop("_name_or_path", None)
        write_json(path, content)


class _Flow(dict[str, Any]):
    """A mapping that goes on one line of YAML."""


class _CardDumper(yaml.SafeDumper):
    pass


_CardDumper.add_representer(
    _Flow, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)
)


def flops(folder: Path) -> float:
    """Floating-point operations, two for a multiply-add, of one evaluation of one sample by a folder's U-Net."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = UNet2DModel.from_config(UNet2DModel.load_config(folder)).eval()
        size = network.config["sample_size"]
        network(torch.empty(1, network.config["in_channels"], size, size), torch.zeros(1))
    return float(f"{counter.get_total_flops():.6g}")


def write_card(out: Path, weights: list[str], **fields: Any) -> None:
    """Write ``card.yaml``, with the hashes of the named weight files and of the configurations beside them."""
    card: dict[str, Any] = {"version": 1, **fields}
    card |= {"ema": True, "reference": "mnist", "extractor": "mnist-features"}
    source = card.pop("source")
    files = [name for weight in weights for name in (str(Path(weight).with_name("config.json")), weight)]
    card["sha256"] = {name: sha256(out / name) for name in files}
    card |= {"flops": flops(out / "unet"), "source": source, "license": "Apache-2.0"}
    lines = []
    for key, value in card.items():
        shown = _Flow(value) if isinstance(value, dict) and key != "sha256" else value
        flow = True if isinstance(value, list) else False
        lines.append(
            yaml.dump({key: shown}, Dumper=_CardDumper, sort_keys=False, width=200, default_flow_style=flow)
            if not flow
            else f"{key}: {json.dumps(value)}\n"
        )
    (out / "card.yaml").write_text("".join(lines), encoding="utf-8")


def write_ddpm(out: Path, network: UNet2DModel, source: str) -> None:
    """Write the pixel model as a folder for ``DDPMPipeline.from_pretrained``, with its card."""
    low, high = diffusion.LINEAR
    scheduler = DDPMScheduler(
        num_train_timesteps=diffusion.STEPS,
        beta_start=low,
        beta_end=high,
        beta_schedule="linear",
        clip_sample=True,
        prediction_type="epsilon",
    )
    DDPMPipeline(unet=network.half(), scheduler=scheduler).save_pretrained(out)
    _forget_origin(out)
    write_card(
        out,
        [f"unet/{WEIGHTS}"],
        name="ddpm-mnist",
        family="ddpm",
        prediction="epsilon",
        schedule={"kind": "ddpm", "betas": "linear", "beta_start": low, "beta_end": high, "steps": diffusion.STEPS},
        time={"input": "index"},
        data={"range": [-1, 1], "shape": [1, 28, 28], "dataset": "mnist"},
        clip=[-1, 1],
        network={"path": "unet", "class": "UNet2DModel"},
        codec=None,
        source=source,
    )


def write_continuous(out: Path, network: UNet2DModel, kind: str, source: str) -> None:
    """Write a pixel model of the VP or sub-VP SDE (``kind``), with its card."""
    network.half().save_pretrained(out / "unet")
    _forget_origin(out)
    write_card(
        out,
        [f"unet/{WEIGHTS}"],
        name=f"score-{kind}-mnist",
        family="score-sde",
        prediction="epsilon",
        schedule={"kind": kind, "beta_min": diffusion.BETA_MIN, "beta_max": diffusion.BETA_MAX},
        time={"input": "scaled", "scale": int(diffusion.TIME_SCALE)},
        data={"range": [-1, 1], "shape": [1, 28, 28], "dataset": "mnist"},
        clip=None,
        network={"path": "unet", "class": "UNet2DModel"},
        codec=None,
        source=source,
    )


def write_ve(out: Path, network: UNet2DModel, source: str) -> None:
    """Write the pixel model of the VE SDE, with its card."""
    network.half().save_pretrained(out / "unet")
    _forget_origin(out)
    low, high = diffusion.SIGMAS
    write_card(
        out,
        [f"unet/{WEIGHTS}"],
        name="score-ve-mnist",
        family="score-sde",
        prediction="edm",
        sigma_data=diffusion.SIGMA_DATA,
        schedule={"kind": "ve", "sigma_min": low, "sigma_max": high},
        time={"input": "log-sigma", "scale": diffusion.LOG_SIGMA_SCALE},
        data={"range": [0, 1], "shape": [1, 28, 28], "dataset": "mnist"},
        clip=None,
        network={"path": "unet", "class": "UNet2DModel"},
        codec=None,
        source=source,
    )


def write_autoencoder(out: Path, network: AutoencoderKL) -> None:
    """Write the autoencoder where the latent model looks for it."""
    network.half().save_pretrained(out / "vqvae")
    _forget_origin(out)


def write_latent(out: Path, network: UNet2DModel, autoencoder: AutoencoderKL, source: str) -> None:
    """Write the latent model as a folder in the layout of ``LDMPipeline``, with its card."""
    low, high = diffusion.SCALED_LINEAR
    scheduler = DDIMScheduler(
        num_train_timesteps=diffusion.STEPS,
        beta_start=low,
        beta_end=high,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    LDMPipeline(vqvae=autoencoder.half(), unet=network.half(), scheduler=scheduler).save_pretrained(out)  # type: ignore[arg-type]
    _forget_origin(out)
    betas = {"betas": "scaled_linear", "beta_start": low, "beta_end": high}
    codec = {"path": "vqvae", "class": "AutoencoderKL", "scaling_factor": autoencoder.config["scaling_factor"]}
    write_card(
        out,
        [f"unet/{WEIGHTS}", f"vqvae/{WEIGHTS}"],
        name="ldm-mnist",
        family="latent",
        prediction="epsilon",
        schedule={"kind": "ddpm", **betas, "steps": diffusion.STEPS},
        time={"input": "index"},
        data={"range": [-1, 1], "shape": [1, 28, 28], "dataset": "mnist"},
        clip=None,
        network={"path": "unet", "class": "UNet2DModel"},
        codec={**codec, "latent_shape": [4, 8, 8], "crop": 28},
        source=source,
    )


def write_features(out: Path, model: MnistFeatures, **facts: Any) -> None:
    """Write the classifier, and beside its folder the reference made with it."""
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, weights)
    shape = {"image_shape": [1, 28, 28], "range": [0, 1], "feature_dim": FEATURE_DIM, "classes": 10}
    config = {"class": "MnistFeatures", **shape, **facts, "sha256": sha256(weights), "license": "Apache-2.0"}
    write_json(out / "config.json", config)
    write_reference(out.parent / "references", model, sha256(weights))


def write_reference(folder: Path, model: MnistFeatures, extractor_sha256: str) -> None:
    """Write features, logits and statistics of the real digits."""
    folder.mkdir(parents=True, exist_ok=True)
    real, logits = features.extract(model.eval())
    wide = real.double()
    mean = wide.mean(dim=0)
    centred = wide - mean
    cov = centred.T @ centred / (len(wide) - 1)
    path = folder / "mnist.safetensors"
    save_file({"features": real, "logits": logits, "mean": mean, "cov": cov.contiguous()}, path)
    write_json(
        folder / "mnist.json",
        {
            "dataset": "mnist",
            "source": digits.SOURCE,
            "n": len(real),
            "split": f"all {len(real):,}",
            "image_shape": [1, 28, 28],
            "resize": "none",
            "extractor": "mnist-features",
            "pixels_sha256": digits.pixels_sha256(),
            "extractor_sha256": extractor_sha256,
            "sha256": sha256(path),
        },
    )


def load_unet(folder: Path) -> UNet2DModel:
    """Load a shipped noise predictor in single precision."""
    return UNet2DModel.from_pretrained(folder, torch_dtype=torch.float32, low_cpu_mem_usage=False)


def load_autoencoder(folder: Path) -> AutoencoderKL:
    """Load a shipped autoencoder in single precision."""
    return AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32, low_cpu_mem_usage=False)
