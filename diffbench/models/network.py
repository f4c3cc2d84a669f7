"""The denoising network of a card: a class of diffusers, the user's own code, or an exported program."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffbench.errors import CardError, DiffbenchError, WeightsError, one_line
from diffbench.models.card import Card
from diffbench.models.card_parts import Network
from diffbench.models.checked_file import checked_file
from diffbench.models.components import NETWORKS, built, class_of, component, filled, renamed
from diffbench.models.consent import Consent
from diffbench.models.key_maps.families import load, state_dict
from diffbench.models.pickled import read_checkpoint
from diffbench.models.verify import verify_files
from diffbench.models.weights import read_tensors

_ALLOW_CODE = "runs code of its own; --allow-code lets it"


def bare_network(card: Card, consent: Consent) -> nn.Module:
    """The network as a module of (x, time, **given) that returns a tensor, on the CPU, for evaluation.

    Raises CardError where card and checkpoint contradict each other, and for code that ``consent`` does not allow;
    WeightsError for files that are missing, altered, or do not fit.
    """
    network = card.network
    assert network is not None
    if network.is_code and not consent.code:
        raise CardError(f"{card.name}: {network.factory or network.program} {_ALLOW_CODE}")
    if network.factory is not None:
        return _Called(_from_factory(card, network), returns_dict=False)
    if network.program is not None:
        return _Called(_exported(card, network.program), returns_dict=False)
    assert network.class_name is not None and network.path is not None
    if network.config is None:
        loaded = component(card, network.path, network.class_name, NETWORKS, consent)
    else:
        loaded = _from_file(card, network.path, network.class_name, plain(network.config), consent)
    _check_channels(card, loaded)
    return _Called(loaded, returns_dict=True)


class _Called(nn.Module):
    """A network called the same way whatever it is; classes of diffusers take the time by name and return a tuple."""

    def __init__(self, network: Any, returns_dict: bool) -> None:
        super().__init__()
        self.network = network
        self.returns_dict = returns_dict

    def forward(self, x: Tensor, t: Tensor, **given: Tensor) -> Tensor:
        """Its output (B,C,H,W)."""
        if self.returns_dict:
            output: Tensor = self.network(x, timestep=t, **given, return_dict=False)[0]
        else:
            output = self.network(x, t, **given)
        return output


def _from_file(card: Card, path: str, class_name: str, config: dict[str, Any], consent: Consent) -> nn.Module:
    """The network whose weights are one file: under the names of diffusers, or of its authors' code."""
    assert card.network is not None
    network, where = class_of(class_name, NETWORKS), str(card.directory / path)
    if path.endswith(".safetensors"):
        checkpoint: Any = read_tensors(card.directory, path, card.sha256)
    else:
        checkpoint = read_checkpoint(card.directory, path, card.sha256, consent.pickle)
    family = card.network.key_map
    if family is None:
        return filled(built(network, config), renamed(checkpoint), where)
    loaded: nn.Module = load(family, state_dict(family, checkpoint, card.ema), config)
    return loaded.requires_grad_(False)


def plain(value: Any) -> Any:
    """A card's value with lists for its tuples."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _check_channels(card: Card, network: Any) -> None:
    """Raise CardError unless the network returns as many channels as the card's ``variance`` says."""
    assert card.network is not None
    channels, returned = card.sample_shape[0], int(network.config.out_channels)
    expected = 2 * channels if card.variance == "learned-range" else channels
    if returned == expected:
        return
    said = f"{card.network.path} returns {returned} channels for samples of {channels}"
    if returned == 2 * channels:
        said += ", as networks do that predict the variance; the card must then say: variance: learned-range"
    else:
        said += f"; with variance {card.variance} it must return {expected}"
    raise CardError(f"{card.directory}: {said}")


def _from_factory(card: Card, network: Network) -> Any:
    """What the user's factory makes of the card's folder."""
    assert network.factory is not None
    module, _, name = network.factory.partition(":")
    verify_files(card)
    try:
        factory: Any = import_module(module)
        for part in name.split("."):
            factory = getattr(factory, part)
        made = factory(Path(card.directory), **plain(network.options))
    except Exception as error:  # the user's code; what it says is all there is
        raise CardError(f"{card.name}: network factory {network.factory}: {one_line(error)}") from None
    if not callable(made):
        raise CardError(f"{card.name}: network factory {network.factory} returned a {type(made).__name__}, no network")
    return made.eval().requires_grad_(False) if isinstance(made, nn.Module) else _Function(made)


class _Function(nn.Module):
    """A function as a module without parameters."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, t: Tensor, **given: Tensor) -> Any:
        """The function's output."""
        return self.function(x, t, **given)


def _exported(card: Card, file: str) -> nn.Module:
    path = card.directory / file
    try:
        with checked_file(card.directory, file, card.sha256) as handle:
            return torch.export.load(handle).module()
    except DiffbenchError:
        raise
    except Exception as error:  # of torch's own reader
        raise WeightsError(f"{path}: not a program of torch.export: {one_line(error)}") from None
