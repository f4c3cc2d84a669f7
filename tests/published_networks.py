"""Configs of published checkpoints in the words of their repositories, at full size and small."""

import json

_DDPM = {"in_channels": 3, "out_ch": 3, "ch": 128, "num_res_blocks": 2, "attn_resolutions": [16]}
_DDPM |= {"resamp_with_conv": True}
_SDE = {"num_channels": 3, "nf": 128, "attn_resolutions": [16], "resamp_with_conv": True, "conditional": True}
_SDE |= {"nonlinearity": "swish"}
_VP = {**_SDE, "image_size": 32, "centered": True, "ch_mult": [1, 2, 2, 2], "scale_by_sigma": False}
_PLUS = {"name": "ncsnpp", "embedding_type": "positional", "resblock_type": "biggan", "skip_rescale": True}
_PLUS |= {"fir": False, "fir_kernel": [1, 3, 3, 1], "progressive": "none", "progressive_input": "none"}
_PLUS |= {"progressive_combine": "sum"}
_SKIPS = {**_PLUS, "embedding_type": "fourier", "fir": True, "progressive": "output_skip"}
_SKIPS |= {"progressive_input": "input_skip", "centered": False, "scale_by_sigma": True}
_VE_256 = _SDE | _SKIPS | {"image_size": 256, "ch_mult": [1, 1, 2, 2, 2, 2, 2], "num_res_blocks": 2}
_IMPROVED = {"num_channels": 128, "num_res_blocks": 3, "attention_resolutions": [16, 8], "num_heads": 4}
_IMPROVED |= {"learn_sigma": True, "class_cond": False, "use_scale_shift_norm": True}
_IMPROVED |= {"resblock_updown": False, "use_new_attention_order": False, "rescale_timesteps": True}
_IMPROVED |= {"diffusion_steps": 4000}
_GUIDED = {"num_channels": 256, "num_res_blocks": 2, "attention_resolutions": [32, 16, 8]}
_GUIDED |= {"num_head_channels": 64, "learn_sigma": True, "class_cond": True, "use_scale_shift_norm": True}
_GUIDED |= {"resblock_updown": True, "use_new_attention_order": False, "rescale_timesteps": False}
_GUIDED |= {"diffusion_steps": 1000}
_AT_64 = {"image_size": 64, "channel_mult": [1, 2, 3, 4]}
_AT_256 = {"image_size": 256, "channel_mult": [1, 1, 2, 2, 4, 4]}

# (family, config) by the name of a checkpoint; commands and configs are those of the repositories.
PUBLISHED = {
    "ddpm cifar10": ("ddpm", _DDPM | {"image_size": 32, "ch_mult": [1, 2, 2, 2]}),
    "ddpm lsun, celebahq 256": ("ddpm", _DDPM | {"image_size": 256, "ch_mult": [1, 1, 2, 2, 4, 4]}),
    "score-sde vp/ddpm/cifar10_continuous": ("score-sde", _VP | {"name": "ddpm", "num_res_blocks": 2}),
    "score-sde vp/cifar10_ddpmpp_continuous": ("score-sde", _VP | _PLUS | {"num_res_blocks": 4}),
    "score-sde vp/cifar10_ddpmpp_deep_continuous": ("score-sde", _VP | _PLUS | {"num_res_blocks": 8}),
    "score-sde ve/celebahq_256, ffhq_256": ("score-sde", _VE_256),
    "score-sde ve/ffhq (1024)": (
        "score-sde",
        _VE_256 | {"image_size": 1024, "nf": 16, "ch_mult": [1, 2, 4, 8, 16, 32, 32, 32], "num_res_blocks": 1},
    ),
    "cifar10_uncond_50M_500K": ("guided-diffusion", _IMPROVED | {"image_size": 32, "channel_mult": [1, 2, 2, 2]}),
    "imagenet64_uncond_100M_1500K": ("guided-diffusion", _IMPROVED | _AT_64),
    "imagenet64_cond_270M_250K": (
        "guided-diffusion",
        _IMPROVED | _AT_64 | {"num_channels": 192, "class_cond": True, "rescale_timesteps": False},
    ),
    "guided 64x64_diffusion": (
        "guided-diffusion",
        _GUIDED | _AT_64 | {"num_channels": 192, "num_res_blocks": 3, "use_new_attention_order": True},
    ),
    "guided 128x128_diffusion": (
        "guided-diffusion",
        _GUIDED | {"num_heads": 4, "num_head_channels": None, "image_size": 128, "channel_mult": [1, 1, 2, 3, 4]},
    ),
    "guided 256x256_diffusion": ("guided-diffusion", _GUIDED | _AT_256),
    "guided lsun_bedroom": ("guided-diffusion", _GUIDED | _AT_256 | {"class_cond": False}),
}


# Small variations of them, with the times (and classes) of two images: what the golden files are of.
SMALL = {
    "ddpm": {
        "of": "ddpm cifar10",
        "but": {"image_size": 16, "ch": 32, "ch_mult": [1, 2, 2], "attn_resolutions": [8]},
        "time": [3, 700],
    },
    "score-sde-ddpm": {
        "of": "score-sde vp/ddpm/cifar10_continuous",
        "but": {"image_size": 16, "nf": 32, "ch_mult": [1, 2, 2], "attn_resolutions": [8], "centered": False},
        "time": [0.7, 512.5],
    },
    "score-sde-ddpmpp": {
        "of": "score-sde vp/cifar10_ddpmpp_continuous",
        "but": {"image_size": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [4]},
        "time": [0.7, 512.5],
    },
    "score-sde-ncsnpp": {
        "of": "score-sde ve/celebahq_256, ffhq_256",
        "but": {"image_size": 16, "nf": 32, "ch_mult": [1, 4, 4], "num_res_blocks": 1, "attn_resolutions": [8]},
        "time": [0.3, 40.0],
    },
    "score-sde-ddpmpp-fourier": {
        "of": "score-sde vp/cifar10_ddpmpp_continuous",
        "but": {
            "image_size": 8,
            "ch_mult": [1, 1],
            "num_res_blocks": 1,
            "attn_resolutions": [8],
            "embedding_type": "fourier",
            "scale_by_sigma": True,
            "centered": False,
        },
        "time": [0.3, 40.0],
    },
    "score-sde-ncsnpp-positional": {
        "of": "score-sde ve/celebahq_256, ffhq_256",
        "but": {
            "image_size": 16,
            "nf": 16,
            "ch_mult": [1, 2, 8],
            "num_res_blocks": 2,
            "attn_resolutions": [4],
            "embedding_type": "positional",
            "scale_by_sigma": False,
        },
        "time": [0.7, 512.5],
    },
    "improved-even-heads": {
        "of": "cifar10_uncond_50M_500K",
        "but": {"num_channels": 32, "num_res_blocks": 2},
        "time": [11, 2803],
    },
    "improved-uneven-heads": {
        "of": "imagenet64_uncond_100M_1500K",
        "but": {"num_channels": 32, "num_res_blocks": 1},
        "time": [11, 2803],
    },
    "improved-one-head": {
        "of": "cifar10_uncond_50M_500K",
        "but": {
            "num_channels": 32,
            "num_heads": 1,
            "use_scale_shift_norm": False,
            "learn_sigma": False,
            "num_res_blocks": 1,
            "rescale_timesteps": False,
            "diffusion_steps": 1000,
        },
        "time": [3, 700],
    },
    "guided-new-order": {
        "of": "guided 64x64_diffusion",
        "but": {
            "image_size": 16,
            "num_channels": 32,
            "channel_mult": [1, 2, 3],
            "attention_resolutions": [8, 4],
            "num_head_channels": 16,
            "num_res_blocks": 2,
        },
        "time": [3, 700],
        "labels": [1, 998],
    },
    "guided-legacy-order": {
        "of": "guided 128x128_diffusion",
        "but": {"image_size": 16, "num_channels": 32, "channel_mult": [1, 2, 3], "attention_resolutions": [8, 4]},
        "time": [3, 700],
        "labels": [1, 998],
    },
}


def published(name):
    family, config = PUBLISHED[name]
    return family, json.loads(json.dumps(config))
