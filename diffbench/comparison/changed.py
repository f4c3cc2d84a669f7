"""Whether a cell's network or its sampler answers other than before: where a difference comes from."""

from __future__ import annotations

from dataclasses import dataclass

from diffbench.comparison.side import Side
from diffbench.errors import StoreError
from diffbench.store.probe import Answers, Difference, difference

# Answers of a sampler that no network had a part in.
_OWN = ("trajectory", "wide trajectory")


@dataclass(frozen=True)
class Changed:
    """Answers to the probe that differ by more than numerics explain; None where none does.

    Attributes:
        known: whether both sides have them.
        model: of the network, its decoder, quantiser and feature extractor.
        sampler: of the sampler, along a trajectory of an exactly known denoiser.
    """

    known: bool
    model: Difference | None = None
    sampler: Difference | None = None


def changed(base: Side, base_cell: str, new: Side, new_cell: str) -> Changed:
    """Compare what a cell's model and sampler answered on both sides."""
    try:
        one, other = base.answers(base_cell), new.answers(new_cell)
    except StoreError:
        return Changed(False)
    if None in (one.model, one.sampler, other.model, other.sampler):
        return Changed(False)
    assert one.model and one.sampler and other.model and other.sampler
    return Changed(True, difference(one.model, other.model), difference(_own(one.sampler), _own(other.sampler)))


def _own(answers: Answers) -> Answers:
    return Answers({name: answers.named[name] for name in _OWN if name in answers.named}, answers.where)
