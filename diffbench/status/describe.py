"""What a name means: a sampler, a metric, a model, a suite or a run, in a few lines; nothing is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from diffbench import shipped
from diffbench.catalog import COSTS, LIKELIHOOD, METRICS, SAMPLERS, MetricEntry, Options, SamplerEntry
from diffbench.catalog.facts import metric_facts, sampler_facts
from diffbench.document.source import read_document
from diffbench.document.words import counted, did_you_mean, expected, listed, shown, text_of
from diffbench.errors import StoreError, UsageError
from diffbench.models.card import Card
from diffbench.models.find import FILE, known_models, load_card, looks_like_path
from diffbench.models.pipeline_card import INDEX
from diffbench.status.show import duration, size
from diffbench.status.stored import state_of
from diffbench.store.sessions import read_sessions
from diffbench.suite.plan import Cell, plan
from diffbench.suite.read import read_suite
from diffbench.suite.spec import Suite

_NEEDS = {
    "sde": "a drift and a diffusion in the model's own time",
    "variance_preserving": "a variance-preserving schedule",
    "learned_variance": "a network that predicts the variance of a step",
}


@dataclass(frozen=True)
class Description:
    """What one name means.

    Attributes:
        kind: ``sampler``, ``metric``, ``model``, ``suite`` or ``run``.
        name: what it was called.
        summary: one sentence; may be empty.
        lines: label and text of what people want to know.
        facts: the same as JSON-able values.
        options: name, default, what is allowed, and what it does, of every option.
        folder: of a run.
    """

    kind: str
    name: str
    summary: str
    lines: tuple[tuple[str, str], ...]
    facts: Mapping[str, Any]
    options: tuple[tuple[str, str, str, str], ...] = ()
    folder: Path | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """One row of JSON."""
        return {"kind": self.kind, "name": self.name, "summary": self.summary, **self.facts}


def describe(name: str) -> Description:
    """What a name or a path means; names that come with diffbench go before files of that name.

    Raises UsageError for what is none of them, and what reading a card, a suite or a run raises.
    """
    if name in shipped.suite_names():
        return _suite(name, shipped.suites() / f"{name}.yaml", f"diffbench run {name}")
    if not looks_like_path(name):
        if name in known_models():
            return _model(load_card(name), name)
        if name in SAMPLERS:
            return _sampler(SAMPLERS[name])
        if name in METRICS:
            return _metric(METRICS[name])
        if name in COSTS or name == LIKELIHOOD.name:
            return _cost(name) if name in COSTS else _likelihood()
    path, found = Path(name), _kind_of_path(name)
    if found == "card":
        return _model(load_card(path), name)
    if found == "folder":
        return _run(path)
    if found == "file":
        content = read_document(path).value
        if isinstance(content, dict) and "family" in content:
            return _model(load_card(path), name)
        return _suite(path.stem, path, f"diffbench run {name if looks_like_path(name) else f'./{name}'}")
    known = [*shipped.suite_names(), *known_models(), *SAMPLERS, *METRICS, *COSTS, LIKELIHOOD.name]
    what = "no such folder or file" if looks_like_path(name) else "no suite, model, sampler or metric"
    raise UsageError(f"{shown(name)}: {what}{did_you_mean(name, known)}; diffbench list has the names")


def _kind_of_path(name: str) -> Literal["card", "folder", "file"] | None:
    path = Path(name)
    try:
        if name and path.is_dir():
            return "card" if (path / FILE).is_file() or (path / INDEX).is_file() else "folder"
        return "file" if path.is_file() else None
    except (OSError, ValueError):  # too long, or with NUL
        return None


def _sampler(entry: SamplerEntry) -> Description:
    facts = sampler_facts(entry)
    alias = facts["same_as"]
    evaluations = "it chooses its own steps: no budget, its tolerances are the axis"
    if not entry.adaptive:
        evaluations = f"{facts['evaluations_per_step']:g} a step; {facts['nfe_at_10_steps']} for 10 steps"
    lines = [
        ("evaluations", evaluations),
        ("order", "–" if entry.order is None else f"{entry.order}, as a solver of the probability-flow ODE"),
        ("noise", "at every step" if facts["stochastic"] else "none after the start"),
        ("needs", "; ".join(_NEEDS.get(need, need) for need in facts["needs"])),
        ("the same as", "" if alias is None else f"{alias['sampler']} {_pairs(alias['options'])}".rstrip()),
        ("batches", "coupled: true makes samples depend on their batch" if entry.batch_coupled else ""),
        ("source", entry.source),
        ("in a suite", f"samplers: [{_entry('sampler', entry.name, entry.options)}]"),
    ]
    return Description("sampler", entry.name, entry.summary, _told(lines), facts, _options(entry.options))


_USES = {
    "features": "features against those of real images",
    "logits": "the extractor's classes, without real images",
    "x0": "each sample against the converged solution of its ODE from the same noise",
    "seen": "each sample's features against those of the converged solution from the same noise",
}


def _metric(entry: MetricEntry) -> Description:
    facts = {**metric_facts(entry), "uses": entry.uses, "moments_suffice": entry.moments_suffice}
    lines = [
        ("better", entry.better),
        ("unit", entry.unit or ""),
        ("made from", _USES[entry.uses] + (": mean and covariance are enough" if entry.moments_suffice else "")),
        ("source", entry.source),
        ("in a suite", f"metrics: [{_entry('metric', entry.name, entry.options)}]"),
    ]
    return Description("metric", entry.name, entry.title, _told(lines), facts, _options(entry.options))


def _likelihood() -> Description:
    lines = (("better", LIKELIHOOD.better), ("of", "a model, whatever samples it"), ("source", LIKELIHOOD.source),
             ("measured by", "diffbench likelihood MODEL"))  # fmt: skip
    options = _options(LIKELIHOOD.options)
    return Description("metric", LIKELIHOOD.name, LIKELIHOOD.title, lines, metric_facts(LIKELIHOOD), options)


def _cost(name: str) -> Description:
    unit, better = COSTS[name]
    lines = (("better", better), ("unit", unit), ("measured by", "the timing pass of every run (timing: seconds)"))
    facts = {"title": name.replace("_", " "), "unit": unit, "better": better, "options": {}}
    return Description("metric", name, "a cost", lines, facts)


def _options(model: type[Options]) -> tuple[tuple[str, str, str, str], ...]:
    return tuple(
        (name, text_of(one.get_default(call_default_factory=True)), expected(one), one.description or "")
        for name, one in model.model_fields.items()
    )


def _entry(key: str, name: str, options: type[Options]) -> str:
    """A suite's entry, with the first option at its default: how options are written."""
    if not options.model_fields:
        return name
    option, field_info = next(iter(options.model_fields.items()))
    own = f"id: mine, {key}: {name}" if key == "sampler" else f"{key}: {name}"
    return f"{{{own}, {option}: {text_of(field_info.get_default(call_default_factory=True))}}}"


def _model(card: Card, name: str) -> Description:
    schedule = card.schedule_object()
    files = {path: card.directory / path for path in card.sha256}
    missing = [path for path, file in files.items() if not file.is_file()]
    total = sum(file.stat().st_size for path, file in files.items() if path not in missing)
    found = f"{counted(len(files), 'file')}, {size(total)}; sha256 {card.weights_sha256[:12]}…"
    low, high = card.data.range
    network = "known exactly" if card.network is None else f"{card.network.class_name} predicts {card.prediction}"
    average = ", moving average of its weights" if card.ema and card.network is not None else ""
    lines = [
        ("family", card.family),
        ("denoiser", network + average),
        ("schedule", _pairs(card.schedule)),
        ("sigma", f"{schedule.sigma_min:.3g} to {schedule.sigma_max:.4g}, in units of the data"),
        ("images", f"{_shape(card.image_shape)} of {card.data.dataset}, values {low:g} to {high:g}"),
        ("latents", "" if card.codec is None else f"{_shape(card.sample_shape)}, decoded by {card.codec.class_name}"),
        ("clip", "none" if card.clip is None else f"D is clamped to {card.clip[0]:g} to {card.clip[1]:g}"),
        ("real data", f"{card.reference}, in the eyes of {card.extractor}" if card.reference else "none: no FID"),
        ("files", f"missing: {listed(missing)}" if missing else found if files else "none"),
        ("licence", card.license),
        ("made by", card.source),
        ("card", str(card.home / FILE)),
        ("in a suite", f"models: [{name if looks_like_path(name) or name in known_models() else f'./{name}'}]"),
    ]
    facts = {
        **card.model_dump(mode="json", by_alias=True), "sigma_min": schedule.sigma_min,
        "sigma_max": schedule.sigma_max, "weights_sha256": card.weights_sha256, "missing": missing,
        "card": str(card.home / FILE),
    }  # fmt: skip
    return Description("model", card.name, "", _told(lines), facts)


def _suite(name: str, path: Path, command: str) -> Description:
    suite = read_suite(path)
    cells = plan(suite)
    facts = {"path": str(path), **_of_suite(suite, cells)}
    lines = [*_suite_lines(suite, cells), ("file", str(path)), ("command", command)]
    return Description("suite", name, _comment(path), _told(lines), facts)


def _of_suite(suite: Suite, cells: Sequence[Cell]) -> dict[str, Any]:
    todo = [cell for cell in cells if cell.skip is None and cell.same_as is None]
    return {
        "models": [one.id for one in suite.models], "samplers": [one.id for one in suite.samplers],
        "budgets": {kind: list(values) for kind, values in suite.budgets.model_dump().items() if values},
        "metrics": [one.name for one in suite.metrics], "samples": suite.samples.n, "seed": suite.seed,
        "cells": len(cells), "skipped": sum(cell.skip is not None for cell in cells),
        "evaluations": sum((cell.nfe or 0) * cell.n for cell in todo),
        "baseline": None if suite.compare is None else suite.compare.baseline,
    }  # fmt: skip


def _suite_lines(suite: Suite, cells: Sequence[Cell]) -> list[tuple[str, str]]:
    facts = _of_suite(suite, cells)
    adaptive = sum(cell.nfe is None and cell.skip is None for cell in cells)
    states = [(facts["skipped"], "skipped"), (sum(c.same_as is not None for c in cells), "the same as another")]
    apart = "".join(f", {count} {word}" for count, word in states if count)
    return [
        ("models", ", ".join(facts["models"])),
        ("samplers", ", ".join(facts["samplers"])),
        ("budgets", "; ".join(f"{kind} {' '.join(map(str, values))}" for kind, values in facts["budgets"].items())),
        ("metrics", ", ".join(facts["metrics"])),
        ("samples", f"{suite.samples.n:,} a cell, seed {suite.seed}"),
        ("cells", f"{len(cells)}{apart}"),
        ("evaluations", f"{facts['evaluations']:,}" + (f", and those of {adaptive} adaptive cells" * bool(adaptive))),
        ("baseline", facts["baseline"] or ""),
    ]


def _run(folder: Path) -> Description:
    path = folder / "suite.yaml"
    if not path.is_file():
        raise StoreError(f"{folder}: neither a run folder (no suite.yaml) nor a model (no {FILE})")
    suite = read_suite(path)
    cells = plan(suite)
    own = [cell for cell in cells if cell.same_as is None and cell.skip is None]
    states = Counter(state_of(folder, cell, suite.run.keep.samples, metrics=suite.metrics).word for cell in own)
    sessions = [session for session in read_sessions(folder) if session.get("cells")]
    seconds = sum(session["seconds"].get("total", 0.0) for session in sessions)
    last: Mapping[str, Any] = sessions[-1] if sessions else {}
    device, packages = last.get("device") or {}, last.get("packages") or {}
    done = states["done"] == len(own)
    other = ", ".join(f"{count} {word}" for word, count in states.items() if word != "done")
    lines = [
        *_suite_lines(suite, cells),
        ("sampled", f"all {len(own)} cells" if done else f"{states['done']} of {len(own)} cells; {other}"),
        ("when", f"{sessions[0]['started'][:16]} to {(last.get('finished') or '…')[:16]} UTC, "
                 f"{counted(len(sessions), 'session')}, {duration(seconds)} in all" if sessions else ""),
        ("on", f"{device['name']} ({device['type']}), torch {packages.get('torch')}" if device else ""),
        ("by", f"diffbench {last['diffbench']}, sampling code {str(last['code'])[:12]}" if last else ""),
        ("report", str(folder / "report.html") if (folder / "report.html").is_file() else "not drawn"),
        ("goes on with", "" if done else f"diffbench run {path} --out {folder}"),
    ]  # fmt: skip
    made = {"sampled": states["done"], "to_sample": len(own), "sessions": len(sessions), "seconds": round(seconds, 3),
            "device": device.get("name"), "code": last.get("code"), "diffbench": last.get("diffbench")}  # fmt: skip
    facts = {"path": str(folder), "suite": suite.name, **_of_suite(suite, cells), **made}
    return Description("run", str(folder), f"Suite {suite.name}.", _told(lines), facts, folder=folder)


def _comment(path: Path) -> str:
    """The first sentences of a suite's file: its leading comment up to an empty line of it."""
    words: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        text = line.strip()
        if not text.startswith("#") or not text.strip("# ") or "yaml-language-server" in text:
            if words:
                break
            continue
        words.append(text.strip("# "))
    return " ".join(words).rstrip(":")


def _told(lines: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((label, text) for label, text in lines if text)


def _pairs(options: Mapping[str, Any]) -> str:
    head, rest = options.get("kind"), {key: value for key, value in options.items() if key != "kind"}
    inner = ", ".join(f"{key}: {text_of(value)}" for key, value in rest.items())
    return f"{head} ({inner})" if head and inner else str(head) if head else f"({inner})" if inner else ""


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
