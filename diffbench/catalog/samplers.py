"""All samplers by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import entry_points

from diffbench.catalog import adaptive, first_order, multistep, singlestep, stochastic
from diffbench.catalog.diffusers import PREFIX, scheduler_entry
from diffbench.catalog.entries import SamplerEntry
from diffbench.errors import UsageError


class Samplers(Mapping[str, SamplerEntry]):
    """The samplers by name: the built-in ones, those of installed packages, and those lent by :meth:`using`.

    A package adds its own by the entry-point group ``diffbench.samplers``: each entry point names a ``SamplerEntry``.
    Built-in names can't be taken over. ``diffusers:<SchedulerClass>`` is found too, but not listed.
    """

    def __init__(self, entries: tuple[SamplerEntry, ...]) -> None:
        self._built_in = {entry.name: entry for entry in entries}
        self._lent: dict[str, SamplerEntry] = {}

    @cached_property
    def _installed(self) -> dict[str, SamplerEntry]:
        found = (point.load() for point in entry_points(group="diffbench.samplers"))
        return {entry.name: entry for entry in found if entry.name not in self._built_in}

    @property
    def _all(self) -> dict[str, SamplerEntry]:
        return {**self._built_in, **self._installed, **self._lent}

    def __getitem__(self, name: str) -> SamplerEntry:
        return scheduler_entry(name) if name.startswith(PREFIX) else self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def built_in(self, name: str) -> bool:
        """Whether a sampler comes with diffbench."""
        return name in self._built_in

    @contextmanager
    def using(self, entries: Iterable[SamplerEntry]) -> Iterator[None]:
        """Lend entries for the time of a ``with`` block. Raises UsageError for a name that exists."""
        mine = {entry.name: entry for entry in entries}
        if taken := mine.keys() & self._all.keys():
            raise UsageError(f"there is a sampler named {min(taken)!r} already")
        self._lent.update(mine)
        try:
            yield
        finally:
            for name in mine:
                del self._lent[name]


SAMPLERS = Samplers(
    first_order.ENTRIES + singlestep.ENTRIES + multistep.ENTRIES + stochastic.ENTRIES + adaptive.ENTRIES
)
