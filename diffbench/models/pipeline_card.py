"""A pipeline folder of diffusers (``model_index.json`` and its components) as the keys of a card; without torch.

What a card needs and the configs do not state is not guessed: it is left out, with the reason, for the card to say.
The defaults of diffusers' classes are not taken for it: they have changed between versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffbench.catalog.diffusers import schedulers
from diffbench.document.words import listed, shown
from diffbench.errors import CardError
from diffbench.models.card_files import inside
from diffbench.models.checked_file import read_unchecked_json
from diffbench.models.remote_code import refuse_remote_code

INDEX = "model_index.json"
_BETAS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
_NETWORKS = ("unet", "transformer")
_AUTOENCODERS = ("vqvae", "vae")
_ENCODERS = ("text_encoder", "bert")
# Pipelines of several text encoders, with the tokens that the longest of them is given (Esser et al. 2024, appendix B).
_SEVERAL_ENCODERS = {"StableDiffusion3Pipeline": 256}
_NO_MATTER = {"thresholding": False, "trained_betas": None, "rescale_betas_zero_snr": False}


@dataclass
class Derived:
    """``keys`` of a card as a pipeline states them; ``unsaid``: dotted key to why it has no value."""

    keys: dict[str, Any] = field(default_factory=dict)
    unsaid: dict[str, str] = field(default_factory=dict)


def derive(folder: Path) -> Derived:
    """The card's keys that the pipeline in ``folder`` states.

    CardError for a pipeline of another kind; WeightsError for one that wants code of its own, or a config that can't
    be read.
    """
    index = read_unchecked_json(folder, INDEX)
    components = _components(index, folder)
    network = _one_of(components, _NETWORKS, folder)
    autoencoder = next((name for name in _AUTOENCODERS if name in components), None)
    encoder = next((name for name in _ENCODERS if name in components), None)
    if "scheduler" not in components:
        raise CardError(f"{folder / INDEX}: names no scheduler, hence no noise schedule")
    place = _place(folder, network)
    config = read_unchecked_json(folder, inside(place, "config.json"))
    scheduler = read_unchecked_json(folder, inside(_place(folder, "scheduler"), "scheduler_config.json"))
    found = Derived({"version": 1, "network": {"path": place, "class": components[network]}})
    _schedule(found, components["scheduler"], scheduler)
    _shapes(found, folder, config, autoencoder, components)
    _clip(found, components["scheduler"], scheduler, autoencoder is not None)
    found.keys["labels"] = _labels(components[network], config)
    if index["_class_name"] in _SEVERAL_ENCODERS:
        found.keys["text"] = {"pipeline": index["_class_name"], "length": _SEVERAL_ENCODERS[index["_class_name"]]}
    elif encoder is not None:
        _text(found, folder, encoder, components)
    found.keys["scheduler"] = {"class": components["scheduler"], "config": _public(scheduler)}
    found.keys |= {"reference": None, "extractor": None}
    found.unsaid["ema"] = "no config says whether the weights are a moving average"
    return found


def _components(index: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Component to class; code from elsewhere than diffusers and transformers is refused."""
    refuse_remote_code(index, folder)
    return {name: what[1] for name, what in index.items() if isinstance(what, list) and what[1] is not None}


def _place(folder: Path, component: str) -> str:
    """Where a component is: in its folder, or among the pipeline's own files, as DDPMs of the hub have it."""
    return component if (folder / component).is_dir() else "."


def _one_of(components: Mapping[str, str], names: tuple[str, ...], folder: Path) -> str:
    for name in names:
        if name in components:
            return name
    raise CardError(f"{folder / INDEX}: has no {' or '.join(names)}; components are {listed(components)}")


def _schedule(found: Derived, class_name: str, config: Mapping[str, Any]) -> None:
    if class_name == "ScoreSdeVeScheduler":
        ends = {key: _stated(found, config, key, "schedule") for key in ("sigma_min", "sigma_max")}
        found.keys |= {"schedule": {"kind": "ve", **ends}, "family": "score-sde", "time": {"input": "sigma"}}
        found.keys["prediction"] = "score"
        return
    if class_name.startswith("FlowMatch"):
        if config.get("use_dynamic_shifting"):
            raise CardError(
                f"{class_name}: use_dynamic_shifting is not supported: its grid depends on the image's size"
            )
        steps = _stated(found, config, "num_train_timesteps", "time.scale")
        found.keys |= {"schedule": {"kind": "flow"}, "time": {"input": "scaled", "scale": steps}, "prediction": "flow"}
        return
    for key, harmless in _NO_MATTER.items():
        if config.get(key, harmless) != harmless:
            raise CardError(f"{class_name}: {key} {shown(config[key])} is not supported")
    betas = _stated(found, config, "beta_schedule", "schedule")
    if betas is not None and betas not in _BETAS:
        raise CardError(f"{class_name}: beta_schedule {shown(betas)} is not supported; known: {listed(_BETAS)}")
    schedule = {"kind": "ddpm", "betas": _BETAS.get(betas)}
    if schedule["betas"] != "cosine":
        schedule |= {key: _stated(found, config, key, "schedule") for key in ("beta_start", "beta_end")}
    schedule["steps"] = _stated(found, config, "num_train_timesteps", "schedule")
    if None not in schedule.values():
        found.keys["schedule"] = schedule
    found.keys["time"] = {"input": "index"}
    if (prediction := _stated(found, config, "prediction_type", "prediction")) is not None:
        found.keys["prediction"] = prediction


def _stated(found: Derived, config: Mapping[str, Any], key: str, card_key: str) -> Any:
    if config.get(key) is None:
        found.unsaid[card_key] = f"scheduler/scheduler_config.json does not state {key}"
    return config.get(key)


def _shapes(
    found: Derived, folder: Path, config: Mapping[str, Any], autoencoder: str | None, components: Mapping[str, str]
) -> None:
    """Family, data, codec and variance, from the configs of the networks."""
    sides = config.get("sample_size")
    height, width = sides if isinstance(sides, list) else (sides, sides)
    channels = config.get("in_channels")
    if not (isinstance(height, int) and isinstance(width, int) and isinstance(channels, int)):
        raise CardError(f"{folder}: the network's config states no sample_size or no in_channels")
    sampled = [channels, height, width]
    if config.get("out_channels") == 2 * channels:
        found.keys["variance"] = "learned-range"
    # DDPM's and its relatives' pipelines map [-1, 1] to pixels, that of score-SDE [0, 1].
    exploding = found.keys.get("family") == "score-sde"
    data: dict[str, Any] = {"range": [0, 1] if exploding else [-1, 1], "shape": sampled, "dataset": "unknown"}
    found.keys |= {"data": data, "codec": None}
    found.keys.setdefault("family", "ddpm")
    if autoencoder is None:
        return
    coded = read_unchecked_json(folder, f"{autoencoder}/config.json")
    factor = 2 ** (len(coded.get("block_out_channels", [1])) - 1)
    data["shape"] = [coded.get("out_channels", 3), height * factor, width * factor]
    codec = {"path": autoencoder, "class": components[autoencoder], "latent_shape": sampled}
    if (scaling := coded.get("scaling_factor")) is not None:
        codec["scaling_factor"] = scaling
    else:
        found.unsaid["codec.scaling_factor"] = f"{autoencoder}/config.json does not state it"
    if coded.get("shift_factor") is not None:
        codec["shift"] = coded["shift_factor"]
    found.keys |= {"family": "latent", "codec": codec}


def _clip(found: Derived, class_name: str, config: Mapping[str, Any], latent: bool) -> None:
    known = schedulers().get(class_name)
    exploding = found.keys.get("family") == "score-sde"
    if latent or exploding or (known is not None and "clip_sample" not in known.config):
        found.keys["clip"] = None
    elif "clip_sample" not in config:
        found.unsaid["clip"] = "scheduler/scheduler_config.json does not state clip_sample"
    elif not config["clip_sample"]:
        found.keys["clip"] = None
    if not config.get("clip_sample"):
        return
    if latent:
        raise CardError("scheduler/scheduler_config.json: clip_sample: latents have no range to clip to")
    elif (reach := config.get("clip_sample_range")) is None:
        found.unsaid["clip"] = "scheduler/scheduler_config.json does not state clip_sample_range"
    else:
        found.keys["clip"] = [-reach, reach]


def _labels(class_name: str, config: Mapping[str, Any]) -> dict[str, int] | None:
    """DiT's table of labels has one row more, for none (Peebles & Xie 2023, section 4); UNet2DModel's has not."""
    if class_name == "DiTTransformer2DModel" and (classes := config.get("num_embeds_ada_norm")):
        return {"classes": classes, "unconditional": classes}
    classes = config.get("num_class_embeds")
    return {"classes": classes} if classes else None


def _text(found: Derived, folder: Path, encoder: str, components: Mapping[str, str]) -> None:
    config = read_unchecked_json(folder, f"{encoder}/config.json")
    text = {"encoder": {"path": encoder, "class": components[encoder]}, "tokenizer": "tokenizer"}
    if (length := config.get("max_position_embeddings")) is not None:
        text["length"] = length
    else:
        found.unsaid["text.length"] = f"{encoder}/config.json does not state max_position_embeddings"
    found.keys["text"] = text


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}
