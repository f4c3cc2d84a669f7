"""A cell's id changes with everything that decides its samples, and with nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbench.models.find import load_card
from diffbench.suite.identity import canonical_method, digest, identity, of_model
from diffbench.suite.plan import Cell, plan
from diffbench.suite.read import suite_from_objects

Edit = Callable[[dict[str, Any], dict[str, Any]], None]


def one_cell(folder: Path, suite: dict[str, Any], card: dict[str, Any]) -> Cell:
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    (cell,) = plan(suite_from_objects(suite))
    return cell


@pytest.fixture
def make(tmp_path: Path, ldm: dict[str, Any]) -> Callable[[Edit | None], Cell]:
    def made(edit: Edit | None) -> Cell:
        suite: dict[str, Any] = {
            "name": "x",
            "seed": 3,
            "samples": {"n": 100, "shard": 20},
            "models": [{"id": "m", "source": str(tmp_path)}],
            "samplers": [{"id": "s", "sampler": "ddim", "eta": 0.5}],
            "budgets": {"nfe": [5]},
            "run": {"batch_size": 10},
        }
        card = yaml.safe_load(yaml.safe_dump(ldm))
        if edit:
            edit(suite, card)
        return one_cell(tmp_path, suite, card)

    return made


def setter(where: str, path: str, value: Any) -> Edit:
    def edit(suite: dict[str, Any], card: dict[str, Any]) -> None:
        target: Any = suite if where == "suite" else card
        *parents, last = path.split("/")
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target.setdefault(part, {})
        target[int(last) if isinstance(target, list) else last] = deepcopy(value)

    return edit


DECIDES = {
    "seed": setter("suite", "seed", 4),
    "shard": setter("suite", "samples/shard", 30),
    "batch size": setter("suite", "run/batch_size", 20),
    "dtype": setter("suite", "run/dtype", "bfloat16"),
    "memory layout": setter("suite", "run/channels_last", False),
    "option": setter("suite", "samplers/0/eta", 0.25),
    "method": setter("suite", "samplers/0", {"id": "s", "sampler": "dpmpp-2m"}),
    "steps": setter("suite", "budgets", {"nfe": [6]}),
    "grid": setter("suite", "samplers/0/grid", "linspace"),
    "grid's option": setter("suite", "samplers/0/grid", {"kind": "karras", "rho": 6}),
    "final": setter("suite", "samplers/0/final", "sigma_min"),
    "model's dtype": setter("suite", "models/0/dtype", "float16"),
    "prediction": setter("card", "prediction", "v_prediction"),
    "schedule": setter("card", "schedule/beta_end", 0.03),
    "schedule's kind": setter("card", "schedule/betas", "scaled_linear"),
    "range": setter("card", "data/range", [0, 1]),
    "network class": setter("card", "network/class", "Other"),
    "network path": setter("card", "network/path", "unet2"),
    "decoder": setter("card", "codec/class", "VQModel"),
    "decoder's scale": setter("card", "codec/scaling_factor", 1.24),
    "latent shape": setter("card", "codec/latent_shape", [4, 16, 16]),
    "crop": setter("card", "codec/crop", None),
}


def _sha(suite: dict[str, Any], card: dict[str, Any]) -> None:
    card["sha256"] = {name: "f" * 64 for name in card["sha256"]}


def _continuous(scale: float) -> Edit:
    def edit(suite: dict[str, Any], card: dict[str, Any]) -> None:
        card["schedule"] = {"kind": "vp", "beta_min": 0.1, "beta_max": 20.0}
        card["time"] = {"input": "scaled", "scale": scale}

    return edit


def _exploding(time: dict[str, Any], **more: Any) -> Edit:
    def edit(suite: dict[str, Any], card: dict[str, Any]) -> None:
        card["schedule"] = {"kind": "ve", "sigma_min": 0.01, "sigma_max": 50.0}
        card["time"] = time
        card |= more

    return edit


DECIDES |= {
    "time, exploding": _exploding({"input": "scaled", "scale": 1.0}),
    "sigma instead of time": _exploding({"input": "sigma"}),
    "log sigma instead of time": _exploding({"input": "log-sigma", "scale": 1.0}),
    "scale of log sigma": _exploding({"input": "log-sigma", "scale": 0.25}),
    "sigma_data": _exploding({"input": "sigma"}, prediction="edm", sigma_data=0.5),
    "another sigma_data": _exploding({"input": "sigma"}, prediction="edm", sigma_data=0.4),
}


def _pixels(clip: list[float] | None) -> Edit:
    def edit(suite: dict[str, Any], card: dict[str, Any]) -> None:
        card |= {"family": "ddpm", "codec": None}  # latents have no range to clip to
        suite["models"][0]["clip"] = clip

    return edit


DECIDES |= {"pixels": _pixels(None), "pixels' clip": _pixels([-1, 1]), "pixels' clip's end": _pixels([-1, 2])}
DECIDES |= {"variance": setter("card", "variance", "learned-range")}
DECIDES |= {"weights": _sha, "family of schedules": _continuous(999), "time scale": _continuous(1000)}

DOES_NOT = {
    "n": setter("suite", "samples/n", 7),
    "suite's name": setter("suite", "name", "y"),
    "model's id": setter("suite", "models/0/id", "other"),
    "sampler's id": setter("suite", "samplers/0/id", "other"),
    "budget's kind": setter("suite", "budgets", {"steps": [5]}),
    "grid's label": setter("suite", "samplers/0/grid", "trailing"),
    "device": setter("suite", "run/device", "cuda:1"),
    "kept images": setter("suite", "run/keep", {"samples": 3}),
    "metrics": setter("suite", "metrics", ["kid"]),
    "timing": setter("suite", "timing", {"seconds": 1, "batch_size": 1}),
    "auto layout": setter("suite", "run/channels_last", True),
    "clip as on the card": setter("suite", "models/0/clip", None),
    "card's name": setter("card", "name", "renamed"),
    "source": setter("card", "source", "elsewhere"),
    "license": setter("card", "license", "MIT"),
    "reference": setter("card", "reference", "other"),
    "extractor": setter("card", "extractor", "other"),
}


@pytest.mark.parametrize("edit", DECIDES.values(), ids=DECIDES.keys())
def test_what_decides_the_samples_changes_the_id(edit: Edit, make: Callable[[Edit | None], Cell]) -> None:
    assert make(None).id != make(edit).id


@pytest.mark.parametrize("edit", DOES_NOT.values(), ids=DOES_NOT.keys())
def test_what_does_not_leaves_it(edit: Edit, make: Callable[[Edit | None], Cell]) -> None:
    assert make(None).id == make(edit).id


def test_all_mutations_differ_from_each_other(make: Callable[[Edit | None], Cell]) -> None:
    ids = {make(edit).id for edit in DECIDES.values()}
    assert len(ids) == len(DECIDES)


@dataclass(frozen=True)
class Grid:
    """As much of a grid as an identity looks at."""

    final: str = "denoise"
    last: float = 0.0

    def to_dict(self) -> dict[str, list[float]]:
        return {"t": [1.0, 0.0], "sigma": [2.0, self.last]}


PARTS: dict[str, Any] = {
    "model": {"weights": "a"},
    "method": "dpmpp-2m",
    "method_options": {},
    "grid": Grid(),
    "dtype": "float32",
    "channels_last": False,
    "compile": False,
    "condition": None,
    "batch_size": 10,
    "shard": 20,
    "seed": 3,
}


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"weights": "b"}},
        {"method": "euler-maruyama"},
        {"method": "ddim"},
        {"grid": None},
        {"grid": Grid(final="sigma_min")},
        {"grid": Grid(last=1e-300)},
        {"dtype": "float16"},
        {"channels_last": True},
        {"batch_size": 20},
        {"shard": 10},
        {"seed": 4},
    ],
)
def test_each_part_counts_when_it_changes_alone(change: dict[str, Any]) -> None:
    assert digest(identity(**PARTS)) != digest(identity(**PARTS | change))


def test_options_count_when_they_change_alone() -> None:
    ids = {digest(identity(**PARTS | {"method": "ddim", "method_options": {"eta": eta}})) for eta in (0.0, 0.5, 0.75)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    "key, value",
    [
        ("schedule", {"kind": "cosine"}),
        ("time", {"input": "scaled", "scale": 500.0}),
        ("prediction", "sample"),
        ("clip", (-1.0, 1.0)),
        ("codec", None),
        ("sha256", {"a": "0" * 64}),
    ],
)
def test_each_part_of_a_card_counts_when_it_changes_alone(key: str, value: Any, shipped_cards: Path) -> None:
    card = load_card("ldm-mnist")
    if key == "schedule":
        value = {**card.schedule, "steps": 999}
    if key == "time":
        value = card.time.model_copy(update=value)
    assert of_model(card) != of_model(card.model_copy(update={key: value}))


@pytest.mark.parametrize("key, value", [("range", (0.0, 1.0)), ("shape", (3, 28, 28))])
def test_the_shape_and_range_of_the_data_count(key: str, value: Any) -> None:
    card = load_card("ldm-mnist")
    assert of_model(card) != of_model(card.model_copy(update={"data": card.data.model_copy(update={key: value})}))


def test_the_version_of_the_identity_is_part_of_it() -> None:
    assert identity(**PARTS)["version"] == "diffbench-cell-v2"


def test_an_id_is_16_hexadecimal_digits_and_stable(make: Callable[[Edit | None], Cell]) -> None:
    assert re.fullmatch("[0-9a-f]{16}", make(None).id)
    assert make(None).id == make(None).id


def test_the_digest_is_the_sha256_of_canonical_json() -> None:
    # printf '{"a":[0.1,1.0,null],"b":true}' | sha256sum
    assert (
        digest({"b": True, "a": (0.1, 1.0, None)}) == digest({"a": [0.1, 1.0, None], "b": True}) == "7ca2de981b88b124"
    )
    with pytest.raises(ValueError, match="Out of range"):
        digest({"a": float("nan")})


def test_moving_a_checkpoint_keeps_its_cells(tmp_path: Path, ldm: dict[str, Any]) -> None:
    ids = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        suite = {"name": "x", "samplers": ["ddim"], "budgets": {"nfe": [5]}, "models": [{"source": tmp_path / name}]}
        ids.add(one_cell(tmp_path / name, suite, ldm).id)
    assert len(ids) == 1


def test_equal_methods_have_one_canonical_form() -> None:
    assert canonical_method("ddpm", {}) == canonical_method("ddim", {"eta": 1}) == ("ddim", {"eta": 1.0})
    assert canonical_method("ddpm", {"variance": "fixed_large"}) == ("ddpm", {"variance": "fixed_large"})
    assert canonical_method("ddim", {"eta": 0.5}) != canonical_method("ddim", {"eta": 1})


# Edits of schedules exclude each other, and so do sigma_data and prediction, another method and an option of the first,
# or pixels and a decoder.
_CLASHING = ("schedule", "pixels", "sigma_data", "time scale", "option")
APART = {name for name in DECIDES if any(word in name for word in _CLASHING)}
field = st.sampled_from(sorted(DECIDES.keys() - APART))


@settings(max_examples=30, deadline=None)
@given(names=st.sets(field, min_size=1, max_size=3), others=st.sets(st.sampled_from(sorted(DOES_NOT)), max_size=3))
def test_labels_never_matter_whatever_else_changes(
    names: set[str], others: set[str], tmp_path_factory: pytest.TempPathFactory, ldm: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("m")
    clashing = {name for name in others if name.startswith(("grid", "option", "budget", "auto", "clip"))}

    def make_with(edits: list[Edit]) -> str:
        suite: dict[str, Any] = {
            "name": "x",
            "samples": {"n": 100, "shard": 20},
            "models": [{"id": "m", "source": str(folder)}],
            "samplers": [{"id": "s", "sampler": "ddim", "eta": 0.5}],
            "budgets": {"nfe": [5]},
        }
        card = yaml.safe_load(yaml.safe_dump(ldm))
        for edit in edits:
            edit(suite, card)
        return one_cell(folder, suite, card).id

    first = make_with([DECIDES[name] for name in sorted(names)])
    both = [DECIDES[name] for name in sorted(names)] + [DOES_NOT[name] for name in sorted(others - clashing)]
    assert first == make_with(both)
