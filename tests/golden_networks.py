"""Outputs that original networks gave, stored without their weights: those are a formula of their names and shapes."""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from filled_tensors import image, in_double, parameters
from safetensors import safe_open
from safetensors.torch import save_file

from diffbench.models.key_maps.families import convert, unet

FOLDER = Path(__file__).parent / "models/key_maps/golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.safetensors"))


@dataclass(frozen=True)
class Golden:
    """What an original network made of the formula's weights and image: its config, keys and shapes, and output.

    ``time`` is the card's: an index, a scaled t, or sigma, one for each image; ``labels`` the classes or None.
    """

    family: str
    config: dict
    shapes: dict
    time: list
    labels: list | None
    output: torch.Tensor

    @cached_property
    def tensors(self):
        return parameters(self.shapes)

    @property
    def image(self):
        return image(len(self.time), self.output.shape[-1])

    def write(self, path):
        said = {"family": self.family, "config": self.config, "shapes": self.shapes, "time": self.time}
        said["labels"] = self.labels
        save_file({"output": self.output}, path, {"golden": json.dumps(said, separators=(",", ":"))})

    @classmethod
    def read(cls, path):
        with safe_open(path, "pt") as file:
            return cls(output=file.get_tensor("output"), **json.loads(file.metadata()["golden"]))


@cache
def golden(name):
    return Golden.read(FOLDER / f"{name}.safetensors")


def answer(network, case):
    """What a network of diffusers, of any dtype, makes of the golden image."""
    time = torch.tensor(case.time, dtype=network.dtype if isinstance(case.time[0], float) else torch.int64)
    labels = None if case.labels is None else torch.tensor(case.labels)
    with torch.no_grad():
        return network(case.image.to(network.dtype), time, labels).sample.double()


def error(case, tensors=None, **changes):
    """The largest difference from the golden output by the largest output, with other tensors or config."""
    network = torch.nn.Module.double(unet(case.family, case.config | changes)).eval()
    network.load_state_dict(convert(case.family, tensors or case.tensors, case.config | changes), strict=True)
    with in_double():
        return ((answer(network, case) - case.output).abs().max() / case.output.abs().max()).item()


def said(raised):
    """The error's text, which is one line."""
    text = str(raised.value)
    assert text and "\n" not in text
    return text
