"""What a run holds in memory: models, extractors and references, each loaded once and only when needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from diffbench.errors import CardError
from diffbench.models.consent import TENSORS_ONLY, Consent
from diffbench.models.load import load_model
from diffbench.models.model import Model
from diffbench.models.verify import verify_files
from diffbench.scoring.extractor import Extractor, load_extractor, takes
from diffbench.scoring.reference import Reference, load_reference, read_reference
from diffbench.suite.identity import model_key
from diffbench.suite.plan import Cell


@dataclass
class Loaded:
    """Models, extractors and references of a suite's cells on one device; ``consent`` is what checkpoints may do."""

    device: torch.device
    consent: Consent = TENSORS_ONLY
    _networks: dict[str, Model] = field(default_factory=dict)
    _models: dict[str, Model] = field(default_factory=dict)
    _extractors: dict[str, Extractor] = field(default_factory=dict)
    _references: dict[str, Reference] = field(default_factory=dict)
    _verified: set[Path] = field(default_factory=set)

    def model(self, cell: Cell) -> Model:
        """The cell's model; cells that differ in clip, labels, prompts or guidance share its networks."""
        if cell.model_key not in self._models:
            settings = cell.dtype, cell.channels_last, cell.compile
            key = model_key(cell.card.model_copy(update={"clip": None}), *settings)
            if key not in self._networks:
                self._networks[key] = load_model(cell.card, self.device, *settings, consent=self.consent)
            self._models[cell.model_key] = self._networks[key].read_as(cell.card, cell.condition)
        return self._models[cell.model_key]

    def extractor(self, cell: Cell) -> Extractor | None:
        """The extractor that the cell's card names, if any."""
        name = cell.card.extractor
        if name is None:
            return None
        if name not in self._extractors:
            self._extractors[name] = load_extractor(name, self.device)
        return self._extractors[name]

    def reference(self, cell: Cell) -> Reference | None:
        """The features of the real data that the cell's card names, if any; a ``.json`` lies in the card's folder."""
        name = cell.card.reference
        if name is None:
            return None
        if name not in self._references:
            own = name.endswith(".json")
            self._references[name] = read_reference(cell.card.home / name) if own else load_reference(name)
        return self._references[name]

    def check(self, cell: Cell) -> None:
        """Refuse altered files, and a model whose images its extractor or reference can't take.

        Raises WeightsError, CardError, ReferenceDataError.
        """
        if cell.card.missing is not None:
            raise CardError(f"{cell.card.name}: {cell.card.missing}")
        if cell.card.directory not in self._verified:
            verify_files(cell.card)
            self._verified.add(cell.card.directory)
        extractor, reference = self.extractor(cell), self.reference(cell)
        if extractor is None or reference is None:
            return
        image, taken = tuple(cell.card.image_shape), extractor.image_shape
        if not takes(extractor, image):
            raise CardError(f"{cell.card.directory}: images are {image}, the extractor {extractor.name} takes {taken}")
        reference.check_extractor(extractor)
