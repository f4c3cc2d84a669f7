"""Pipelines of the real classes with tiny networks of random weights, saved by diffusers itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    LDMTextToImagePipeline,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from diffusers.pipelines.deprecated.latent_diffusion_uncond import LDMPipeline
from diffusers.pipelines.deprecated.score_sde_ve import ScoreSdeVePipeline
from diffusers.schedulers import ScoreSdeVeScheduler

SMALL: dict[str, Any] = {"block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 4}
LATENT_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195}
WORDS = ["a", "photo", "of", "cat", "dog", "the"]


def unet(channels: int = 3, size: int = 8, **changed: Any) -> UNet2DModel:
    attention = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "attention_head_dim": 4}
    attention |= {"up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    return UNet2DModel(size, channels, channels, **{**SMALL, **attention, **changed})


def conditional_unet(width: int) -> UNet2DConditionModel:
    down, up = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
    return UNet2DConditionModel(
        8, 4, 4, down_block_types=down, up_block_types=up, cross_attention_dim=width, attention_head_dim=4, **SMALL
    )


def kl_autoencoder(channels: int = 4) -> AutoencoderKL:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return AutoencoderKL(3, 3, latent_channels=channels, scaling_factor=0.18215, **blocks, **SMALL)


def vq_autoencoder() -> VQModel:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return VQModel(3, 3, latent_channels=3, num_vq_embeddings=16, scaling_factor=1.0, **blocks, **SMALL)


def clip_tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(set("".join(WORDS)))
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=16)


def clip_encoder(width: int, vocabulary: int) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=1,
    )  # fmt: skip
    return CLIPTextModel(config)


def ddpm(folder: Path) -> Any:
    return _saved(DDPMPipeline(unet(), DDPMScheduler(variance_type="fixed_large")), folder)


def ddim(folder: Path) -> Any:
    return _saved(DDIMPipeline(unet(), DDIMScheduler()), folder)


def ldm(folder: Path, kind: str) -> Any:
    autoencoder = vq_autoencoder() if kind == "vq" else kl_autoencoder(3)
    scheduler = DDIMScheduler(**LATENT_BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    return _saved(LDMPipeline(autoencoder, unet(), scheduler), folder)


def score_sde_ve(folder: Path) -> Any:
    network = unet(time_embedding_type="fourier", center_input_sample=False, flip_sin_to_cos=True)
    return _saved(ScoreSdeVePipeline(network, ScoreSdeVeScheduler(num_train_timesteps=10, sigma_max=50.0)), folder)


def dit(folder: Path) -> Any:
    torch.manual_seed(0)
    network = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=4, in_channels=4, out_channels=8, num_layers=1, sample_size=8,
        patch_size=2, num_embeds_ada_norm=1000,
    )  # fmt: skip
    labels = {str(number): f"class {number}" for number in range(1000)}
    scheduler = DDIMScheduler(clip_sample=False)
    return _saved(DiTPipeline(network, kl_autoencoder(), scheduler, id2label=labels), folder)


def stable_diffusion(folder: Path) -> Any:
    tokenizer = clip_tokenizer(folder.parent / "vocabulary")
    scheduler = DDIMScheduler(**LATENT_BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    parts = kl_autoencoder(), clip_encoder(8, len(tokenizer)), tokenizer, conditional_unet(8), scheduler
    pipeline = StableDiffusionPipeline(
        *parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    return _saved(pipeline, folder)


def ldm_text(folder: Path) -> Any:
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
    from transformers import BertTokenizer

    words = folder.parent / "words"
    words.mkdir(parents=True, exist_ok=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (words / "vocab.txt").write_text("\n".join(tokens))
    config = LDMBertConfig(
        vocab_size=len(tokens), max_position_embeddings=77, encoder_layers=1, encoder_ffn_dim=16,
        encoder_attention_heads=2, head_dim=4, d_model=8,
    )  # fmt: skip
    scheduler = DDIMScheduler(**LATENT_BETAS, clip_sample=False)
    parts = kl_autoencoder(), LDMBertModel(config), BertTokenizer.from_pretrained(words), conditional_unet(8), scheduler
    return _saved(LDMTextToImagePipeline(*parts), folder)


def stable_diffusion_3(folder: Path) -> Any:
    """Two CLIP encoders and no T5; a transformer of a flow."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    tokenizer = clip_tokenizer(folder.parent / "vocabulary")
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1, "pad_token_id": 1}
    config = CLIPTextConfig(vocab_size=len(tokenizer), projection_dim=8, max_position_embeddings=16, **sizes, **ends)
    encoders = [CLIPTextModelWithProjection(config) for _ in range(2)]
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=4,
        num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=8, pooled_projection_dim=16,
    )  # fmt: skip
    autoencoder = kl_autoencoder()
    autoencoder.register_to_config(shift_factor=0.0609, scaling_factor=1.5305)
    pipeline = StableDiffusion3Pipeline(
        transformer, FlowMatchEulerDiscreteScheduler(shift=3.0), autoencoder, encoders[0], tokenizer, encoders[1],
        tokenizer, None, None,
    )  # fmt: skip
    return _saved(pipeline, folder)


def _saved(pipeline: Any, folder: Path) -> Any:
    for network in pipeline.components.values():
        if isinstance(network, torch.nn.Module):
            network.eval()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder)
    return pipeline
