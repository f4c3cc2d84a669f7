"""A training loop's own evaluation: few samples every k steps, paired with those of the evaluation before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffbench.api import compare, run
from diffbench.catalog import COSTS, METRICS
from diffbench.errors import UsageError

if TYPE_CHECKING:
    from diffbench.comparison.compare import Comparison
    from diffbench.finished import Results


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found.

    Attributes:
        step: of the training.
        results: scores of this step.
        comparison: with the evaluation before, sample by sample from the same noise; None for the first.
    """

    step: int
    results: Results
    comparison: Comparison | None

    @property
    def verdicts(self) -> dict[tuple[str, int | None, str], str]:
        """(sampler, budget, metric) to BETTER, SAME, WORSE or INCONCLUSIVE against the evaluation before."""
        if self.comparison is None:
            return {}
        rows = (row for row in self.comparison.rows if row.gated and row.metric != "nfe")
        return {(row.new["sampler"], row.new["budget"], row.metric): row.verdict.word for row in rows}

    @property
    def verdict(self) -> str | None:
        """Of all of them the first of WORSE, BETTER, INCONCLUSIVE, SAME; None for the first evaluation."""
        words = set(self.verdicts.values())
        return next((word for word in ("WORSE", "BETTER", "INCONCLUSIVE", "SAME") if word in words), None)

    def value(self, metric: str = "fid") -> float | None:
        """The metric of the first cell; None if it is missing."""
        found = self.results.frame
        values = found[found["metric"] == metric]["value"]
        return None if not len(values) or values.isna().iloc[0] else float(values.iloc[0])

    def __repr__(self) -> str:
        value = self.value()
        told = "" if value is None else f", FID {value:.4g}"
        found = self.results.frame[~self.results.frame["metric"].isin(list(COSTS))]
        if found["value"].isna().all():
            reasons = "; ".join(dict.fromkeys(found["reason"].dropna())) or "no metric was asked for"
            return f"<Evaluation at step {self.step}: no score: {reasons}>"
        return f"<Evaluation at step {self.step}{told}: {self.verdict or 'the first'}>"


@dataclass
class Callback:
    """Call it with the step after every step: ``found = callback(step)`` is None, or every k steps an evaluation.

    The network is put in evaluation mode meanwhile, and nothing of it is changed. Every evaluation is a run folder of
    its own, ``out/step-<step>``, that ``diffbench history`` and ``compare`` read.

    Raises UsageError for a model that is none, such as a bare network (``OwnModel.of_network`` says what it predicts),
    and for one that has neither reference nor extractor where all metrics need them.

    Attributes:
        model: what ``run(models=...)`` takes, or a function that gives it, for an average that is made when needed.
        every: evaluate at its multiples.
        out: folder for the evaluations.
        samplers: as for ``run``.
        budgets: as for ``run``.
        samples: of each evaluation; for a test 50 at least, for FID more than the extractor has features.
        metrics: those to score, and to judge by.
        margin: what counts as the same, as a gate: ``1%`` or a number.
        alpha: chance of a false alarm in one evaluation.
        history: the evaluations so far.
    """

    model: Any
    every: int
    out: str | Path
    samplers: Mapping[str, Any] | Sequence[str] = ("dpmpp-2m",)
    budgets: Mapping[str, Sequence[int]] | Sequence[int] = (10,)
    samples: int = 256
    metrics: Sequence[str | Mapping[str, Any]] = ("fid", "kid")
    margin: str | float = "1%"
    alpha: float = 0.01
    seed: int = 0
    quiet: bool = True
    history: list[Evaluation] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.every < 1 or self.samples < 1:
            raise UsageError("a callback needs every and samples of 1 or more")
        if not self._makes_it:
            self._check_scores(self.model)

    def _check_scores(self, given: Any) -> None:
        """Raise UsageError where the model is none, or none of the metrics can be computed of it."""
        if isinstance(given, str | Mapping):  # a model's card says that, when it is read
            return
        from diffbench.models.own_model import own_model

        model = own_model("of the callback", given)
        names = [one if isinstance(one, str) else str(one.get("metric")) for one in self.metrics]
        needing = [name for name in names if name in METRICS and METRICS[name].needs_extractor]
        if needing == names and model.reference is None and model.extractor is None:
            raise UsageError(
                f"the callback's model has no feature extractor, so none of {', '.join(names)} can be computed: give "
                "OwnModel a reference (and its extractor), such as reference='mnist'"
            )

    @property
    def _makes_it(self) -> bool:
        """Whether ``model`` is a function that gives the model; a network is called too, but has a ``forward``."""
        return callable(self.model) and not hasattr(self.model, "schedule") and not hasattr(self.model, "forward")

    def __call__(self, step: int) -> Evaluation | None:
        """Evaluate if it is time; raises what ``run`` and ``compare`` raise."""
        return self.evaluate(step) if step % self.every == 0 else None

    def evaluate(self, step: int) -> Evaluation:
        """Evaluate now."""
        given = self.samplers
        chosen = given if isinstance(given, Mapping) else {name: name for name in given}
        model = self.model
        if self._makes_it:
            model = self.model()
            self._check_scores(model)
        found = run(
            {"name": "training", "seed": self.seed},
            Path(self.out) / f"step-{step:08d}",
            models={"model": model},
            samplers=chosen,
            budgets=self.budgets,
            samples=self.samples,
            metrics=self.metrics,
            timing=0,
            quiet=self.quiet,
        )
        base = self.history[-1].results if self.history else None
        gates = {(one if isinstance(one, str) else str(one["metric"])): self.margin for one in self.metrics}
        held = None if base is None else compare(base, found, gates=gates, alpha=self.alpha)
        self.history.append(Evaluation(step, found, held))
        return self.history[-1]
