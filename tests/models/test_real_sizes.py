"""Networks of the size of the hub's checkpoints, of random weights, saved by diffusers and loaded by a card."""

import json
import math
import resource
import time

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel, VQModel
from diffusers.pipelines.deprecated.latent_diffusion_uncond import LDMPipeline
from diffusers.pipelines.deprecated.score_sde_ve import ScoreSdeVePipeline
from diffusers.schedulers import ScoreSdeVeScheduler
from published_networks import published
from safetensors import safe_open

from diffbench import shipped
from diffbench.models.find import load_card
from diffbench.models.key_maps.families import original
from diffbench.models.load import load_model

PUBLISHED = shipped.reference_models() / "published"


def published_unet(card):
    return UNet2DModel.from_config(json.loads((PUBLISHED / card / "unet" / "config.json").read_text()))


def ddpm(folder):
    """google/ddpm-cifar10-32."""
    scheduler = DDPMScheduler(variance_type="fixed_large", clip_sample_range=1.0)
    DDPMPipeline(published_unet("ddpm-cifar10"), scheduler).save_pretrained(folder)


def latent(folder):
    """CompVis/ldm-celebahq-256: the autoencoder is models/first_stage_models/vq-f4/config.yaml."""
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    sizes = {"block_out_channels": (128, 256, 512), "layers_per_block": 2, "sample_size": 256}
    vq = VQModel(3, 3, latent_channels=3, num_vq_embeddings=8192, scaling_factor=1.0, **blocks, **sizes)
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **betas)
    LDMPipeline(vq, published_unet("ldm-celebahq"), scheduler).save_pretrained(folder)


def exploding(folder):
    """google/ncsnpp-celebahq-256: the network of score_sde_pytorch's configs/ve/celebahq_256_ncsnpp_continuous.py."""
    config = original(*published("score-sde ve/celebahq_256, ffhq_256")).config
    scheduler = ScoreSdeVeScheduler(sigma_min=0.01, sigma_max=348.0)
    ScoreSdeVePipeline(UNet2DModel(**config), scheduler).save_pretrained(folder)


# How it is made; parameters of the network and the autoencoder, in millions; shape of its samples.
SIZES = {
    "ddpm-cifar10-32": (ddpm, 35.7, 0.0, (3, 32, 32)),
    "ldm-celebahq-256": (latent, 274.1, 55.3, (3, 64, 64)),
    "ncsnpp-celebahq-256": (exploding, 65.6, 0.0, (3, 256, 256)),
}


def millions(file):
    with safe_open(file, "pt") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys()) / 1e6


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_a_checkpoint_of_real_size_is_loaded_and_evaluated(name, tmp_path, capsys):
    make, network, autoencoder, shape = SIZES[name]
    torch.manual_seed(0)
    make(tmp_path / name)
    card = load_card(tmp_path / name, {"ema": True})
    start = time.perf_counter()
    model = load_model(card, torch.device("cpu"))
    loaded = time.perf_counter() - start
    assert card.sample_shape == shape and card.schedule_object() is not None
    x = torch.randn(1, *shape)
    start = time.perf_counter()
    with torch.inference_mode():
        x0 = model.denoiser(x, torch.ones(1, dtype=torch.float64)).x0
        images = model.codec.decode(x0)
    took = time.perf_counter() - start
    assert x0.shape == x.shape and images.shape == (1, *card.image_shape)
    assert torch.isfinite(images).all() and images.std() > 0
    sizes = [millions(card.directory / file) for file in sorted(card.sha256) if file.endswith(".safetensors")]
    assert sizes == pytest.approx([size for size in (network, autoencoder) if size], abs=0.05)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with capsys.disabled():
        said = f"loaded in {loaded:.1f} s, evaluated once and decoded in {took:.1f} s, peak memory {peak:.2f} GiB"
        print(f"\n{name}, {sum(sizes):.1f}M parameters: {said}")
