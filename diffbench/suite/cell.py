"""One cell of a plan: all that is known of it before it is sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diffbench.diffusion.grid import TimeGrid
from diffbench.document.words import text_of
from diffbench.models.card import Card
from diffbench.models.condition import Condition
from diffbench.store.shards import X0
from diffbench.suite.identity import model_key

BudgetKind = Literal["nfe", "steps"]


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell of a plan.

    Attributes:
        id: 16 hexadecimal digits over all that decides its samples (``suite/identity.py``).
        model: the suite's id of the model; ``family`` is its card's.
        card: the model's card, with the cell's clip range.
        dtype: the network's.
        channels_last: the network's memory layout.
        compile: whether the network is compiled, and how.
        condition: labels or prompts of its samples, and the guidance; None for a model that takes none.
        sampler: the suite's id of the sampler.
        method: its catalog name.
        method_options: its options, complete.
        options: swept values only, of the model and of the sampler.
        grid: the realised grid; None in a skipped cell.
        grid_label: kind and options, such as ``karras(rho=7)``.
        budget_kind: ``nfe`` or ``steps``; ``budget`` is the number in the suite. None of an adaptive sampler.
        steps: steps of the grid; None in a skipped cell.
        nfe: the evaluations that they cost; None in a skipped cell and where the sampler chooses its own steps.
        n: samples, stored in shards of ``shard``, made in batches of ``batch_size``, from ``seed``.
        skip: why the cell can't be run, or None.
        identity: what the id is a hash of, JSON-able.
        same_as: key of the earlier cell of the plan with the same id, or None.
        solutions: for each metric that needs one, what its samples are compared with, or why there is none.
        keep_x0: whether x0 is stored beside the features; always where there are none.
        keep_trajectories: of how many first samples it is stored how they form, as far as the first batch holds them.
    """

    id: str
    model: str
    family: str
    card: Card
    dtype: str
    channels_last: bool
    compile: bool | str
    condition: Condition | None
    sampler: str
    method: str
    method_options: dict[str, Any]
    options: dict[str, Any]
    grid: TimeGrid | None
    grid_label: str
    budget_kind: BudgetKind | None
    budget: int | None
    steps: int | None
    nfe: int | None
    n: int
    shard: int
    batch_size: int
    seed: int
    skip: str | None
    identity: dict[str, Any]
    same_as: str | None
    solutions: Mapping[str, Solution | str] = field(default_factory=dict)
    keep_x0: bool = False
    keep_trajectories: int = 0

    @property
    def key(self) -> str:
        """Model, sampler, swept values and budget: unique in a plan, and readable."""
        swept = ",".join(f"{name}={text_of(value)}" for name, value in self.options.items())
        name = f"{self.model}/{self.sampler}{f'[{swept}]' if swept else ''}"
        return name if self.budget is None else f"{name}/{self.budget_kind}={self.budget}"

    @property
    def model_key(self) -> str:
        """Key of the cell's model in probes and sessions (``suite/identity.py``)."""
        return model_key(self.card, self.dtype, self.channels_last, self.compile, self.condition)

    @property
    def artefacts(self) -> list[str]:
        """Names of what every shard of the cell holds and scores are made of: features, and x0 where it is kept."""
        features = [] if self.card.extractor is None else [self.card.extractor]
        return [*features, *([X0] if self.keep_x0 else [])]

    @property
    def label(self) -> str:
        """For people: ``ddpm-mnist · ddim @ nfe 10``."""
        name = f"{self.model} · {self.sampler}"
        return name if self.budget is None else f"{name} @ {self.budget_kind} {self.budget}"

    def to_dict(self) -> dict[str, Any]:
        """What its id stands for, JSON-able, as stored in ``cell.json``: alike for all cells of that id.

        ``identity`` is all that was hashed; the grid stands as lists ``t`` and ``sigma``.
        """
        points = {"t": [], "sigma": []} if self.grid is None else self.grid.to_dict()
        method = {"method": self.identity["method"], "method_options": self.identity["options"]}
        return {"id": self.id, "identity": self.identity, **method, "steps": self.steps, "nfe": self.nfe, **points}


@dataclass(frozen=True, eq=False)
class Solution:
    """A converged solution of a cell's ODE from its own noise, as a cell to sample; ``half`` has half its steps."""

    cell: Cell
    half: Cell

    @property
    def label(self) -> str:
        """Method, steps and grid: ``deis, 512 steps on log-snr``."""
        return f"{self.cell.method}, {self.cell.steps} steps on {self.cell.grid_label}"

    @property
    def sigma_max(self) -> float:
        """The noise level that it starts from."""
        assert self.cell.grid is not None
        return float(self.cell.grid.sigma[0])
