"""What a name means: a sampler, a metric, a model, a suite or a run, in a few lines; nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from diffbench.status.describe_suite import describe_run, describe_suite
from diffbench.status.description import Description, told
from diffbench.status.show import size
from diffbench.suite.of_run import FILE as SUITE

_NEEDS = {
    "sde": "a drift and a diffusion in the model's own time",
    "variance_preserving": "a variance-preserving schedule",
    "learned_variance": "a network that predicts the variance of a step",
}


def describe(name: str) -> Description:
    """What a name or a path means; names that come with diffbench go before files of that name.

    Raises UsageError for what is none of them, and what reading a card, a suite or a run raises.
    """
    if name in shipped.suite_names():
        return describe_suite(name, shipped.suites() / f"{name}.yaml", f"diffbench run {name}")
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
        if not (path / SUITE).is_file():
            raise StoreError(f"{path}: neither a run folder (no {SUITE}) nor a model (no {FILE})")
        return describe_run(path)
    if found == "file":
        content = read_document(path).value
        if isinstance(content, dict) and "family" in content:
            return _model(load_card(path), name)
        return describe_suite(path.stem, path, f"diffbench run {name if looks_like_path(name) else f'./{name}'}")
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
    return Description("sampler", entry.name, entry.summary, told(lines), facts, _options(entry.options))


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
    return Description("metric", entry.name, entry.title, told(lines), facts, _options(entry.options))


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
    return Description("model", card.name, "", told(lines), facts)


def _pairs(options: Mapping[str, Any]) -> str:
    head, rest = options.get("kind"), {key: value for key, value in options.items() if key != "kind"}
    inner = ", ".join(f"{key}: {text_of(value)}" for key, value in rest.items())
    return f"{head} ({inner})" if head and inner else str(head) if head else f"({inner})" if inner else ""


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
