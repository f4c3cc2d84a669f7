"""What a suite says, as pydantic models of its YAML; every problem that the text alone shows is found here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import InitErrorDetails

from diffbench.document.spec import Name, Spec, fault, repeated
from diffbench.document.words import Says
from diffbench.models.card_parts import Version1
from diffbench.suite import rules
from diffbench.suite.choices import MetricChoice
from diffbench.suite.expect import Expectation
from diffbench.suite.gates import Comparing
from diffbench.suite.model_choice import Dtype, ModelChoice
from diffbench.suite.sampler_choice import SamplerChoice

DEFAULT_BATCH = 128
MAX_BATCH = 65_536
SHORTEST_TIMING, LONGEST_TIMING = 5.0, 60.0

Batch = Annotated[int, Field(ge=1, le=MAX_BATCH)]
Budget = Annotated[int, Field(ge=1, le=10_000)]
BudgetList = Annotated[tuple[Budget, ...], Field(min_length=1, max_length=1000)]


def _text_or_bool(value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    raise ValueError("neither text nor a boolean")  # 1 equals True, also to pydantic


class Samples(Spec):
    """``n`` samples a cell, made and stored in shards of ``shard`` (default: the batch size)."""

    n: Annotated[int, Field(ge=1, le=10_000_000)]
    """Samples of every cell."""
    shard: Annotated[int, Field(ge=1, le=1_000_000)] = DEFAULT_BATCH
    """Samples that are made and stored together; the default is the batch size."""

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """A bare number is ``n``."""
        return value if isinstance(value, dict) else {"n": value}


class Budgets(Spec):
    """What every model and sampler is given: evaluations a sample (``nfe``), or steps, or both kinds."""

    nfe: BudgetList = ()
    """Evaluations of the denoiser that a sample may cost, such as [5, 10, 20]."""
    steps: BudgetList = ()
    """Steps of the sampler, whatever they cost."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """At least one budget, none twice."""
        if not given:  # other keys have problems of their own
            yield fault((), 'give "nfe", "steps" or both: lists of whole numbers', given)
        for kind in ("nfe", "steps"):
            yield from repeated((kind,), given.get(kind))


class Inclusion(Spec):
    """Further cells: a model and a sampler, with all their swept values, at one more budget."""

    model: str
    """The id of one of the suite's models."""
    sampler: str
    """The id of one of the suite's samplers."""
    nfe: Budget | None = None
    """The budget in evaluations a sample."""
    steps: Budget | None = None
    """The budget in steps."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """Exactly one budget."""
        if (given.get("nfe") is None) == (given.get("steps") is None):
            yield fault((), 'give either "nfe" or "steps"', given)


class Exclusion(Spec):
    """Cells to leave out: those that match all keys given."""

    model: str | None = None
    """The id of one of the suite's models."""
    sampler: str | None = None
    """The id of one of the suite's samplers."""
    nfe: Budget | None = None
    """One of the suite's budgets of evaluations."""
    steps: Budget | None = None
    """One of the suite's budgets of steps."""

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """At least one key, one budget at most."""
        if all(given.get(key) is None for key in cls.model_fields):
            yield fault((), "would leave out every cell; give a model, a sampler or a budget", given)
        if given.get("nfe") is not None and given.get("steps") is not None:
            yield fault((), 'give "nfe" or "steps", not both', given)


class Keep(Spec):
    """What a run keeps of every cell beside features: the images of its first ``samples`` samples, and how they form.

    ``trajectories``: of how many first samples the estimates of x0 on the way are kept, as far as a batch holds them.
    """

    later: ClassVar[frozenset[str]] = frozenset({"features"})
    samples: Annotated[int, Field(ge=0, le=100_000)] = 64
    """Images of each cell that are kept, from the first on."""
    trajectories: Annotated[int, Field(ge=0, le=64)] = 0
    """Samples of each cell, from the first on, whose estimates of x0 on the way are kept as images."""


class RunSettings(Spec):
    """How cells are sampled; ``channels_last: auto`` is true.

    ``compile`` runs networks through ``torch.compile``; ``cuda-graphs`` records and replays their kernels, too.
    ``dtype`` bfloat16 and float16 are those of weights and activations; with ``amp-`` weights stay float32 and
    operations choose (autocast).
    """

    later: ClassVar[frozenset[str]] = frozenset({"engine"})
    device: Annotated[
        str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$"), Says("auto, cpu, cuda or cuda:<index>")
    ] = "auto"
    """auto (the first GPU if there is one), cpu, cuda or cuda:<index>; no part of a cell's identity."""
    batch_size: Batch = DEFAULT_BATCH
    """Samples made at once; part of a cell's identity: another one samples anew."""
    dtype: Dtype = "float32"
    """Precision of the networks, unless a model has its own."""
    keep: Keep = Keep()
    """What is kept beside features."""
    channels_last: Annotated[Literal["auto", True, False], BeforeValidator(_text_or_bool)] = "auto"
    """Memory layout of the networks; auto is true."""
    compile: Annotated[Literal[False, True, "cuda-graphs"], BeforeValidator(_text_or_bool)] = False
    """Networks through torch.compile; cuda-graphs records and replays their kernels, too."""


class Timing(Spec):
    """The timing pass: at most ``seconds`` in all (0: none), in batches of ``batch_size`` (default: the run's).

    Not given, or null: as long as the run's sampling took, but 5 to 60 seconds.
    """

    seconds: Annotated[float, Field(ge=0.0, le=86_400.0)] | None = None
    """Time for all cells together; 0: nothing is timed; by default what sampling took, from 5 to 60 seconds."""
    batch_size: Batch = DEFAULT_BATCH
    """Samples in a timed batch; the default is the run's batch size."""

    def limit(self, sampled: float) -> float:
        """Seconds of the pass after so many of sampling; where none are known, the most."""
        if self.seconds is not None:
            return self.seconds
        return min(max(sampled, SHORTEST_TIMING), LONGEST_TIMING) if sampled > 0 else LONGEST_TIMING


class Suite(Spec):
    """A suite, complete: what a run folder's ``suite.yaml`` says."""

    later: ClassVar[frozenset[str]] = frozenset({"execution", "report"})

    version: Version1 = 1
    """Version of the suite language."""
    extends: Annotated[str, Says("the path of a suite file, or the name of a shipped suite")] | None = None
    """A suite that this one changes: mappings are merged key by key, lists replaced (``suite/extends.py``)."""
    name: Name
    """Name of the run folder; the default is the file's name."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Decides all noise; sample i starts from the same noise in every cell."""
    samples: Samples = Samples(n=2000)
    """Samples of every cell: a number, or {n: 2000, shard: 250}."""
    models: Annotated[tuple[ModelChoice, ...], Field(min_length=1, max_length=1000)]
    """What is sampled: names of shipped models, paths of folders with a card.yaml, or mappings."""
    samplers: Annotated[tuple[SamplerChoice, ...], Field(min_length=1, max_length=1000)]
    """What samples: names (diffbench list samplers), or mappings with options beside an id."""
    budgets: Budgets = Field(
        default_factory=Budgets.model_construct
    )  # samplers that all choose their own steps need none
    """What a sample may cost: every model and sampler is run at each."""
    include: Annotated[tuple[Inclusion, ...], Field(max_length=10_000)] = ()
    """Further cells."""
    exclude: Annotated[tuple[Exclusion, ...], Field(max_length=10_000)] = ()
    """Cells to leave out: those that match all keys of an entry."""
    metrics: Annotated[tuple[MetricChoice, ...], Field(min_length=1)] = tuple(
        MetricChoice.model_validate({"metric": name}) for name in ("fid", "is", "kid")
    )
    """Quality metrics (diffbench list metrics); fid, is and kid by default."""
    run: RunSettings = RunSettings()
    """How cells are sampled."""
    timing: Timing = Timing()
    """The timing pass after sampling."""
    compare: Comparing | None = None
    """The baseline that a run is held to, and how much worse each metric may be."""
    expect: Annotated[tuple[Expectation, ...], Field(max_length=10_000)] = ()
    """Published scores that cells are held to, each with what it was measured under."""

    @classmethod
    def prepare(cls, value: Any, context: Any) -> Any:
        """Fill in what depends on other keys: the name on the file's, shards and timing on the batch size."""
        if not isinstance(value, dict):
            return value
        stem = (context or {}).get("name", "")
        if re.fullmatch("[A-Za-z0-9_][A-Za-z0-9._+=-]{0,63}", stem):
            value = {"name": stem, **value}
        run = value.get("run")
        batch = run.get("batch_size") if isinstance(run, dict) else None
        if type(batch) is not int or not 1 <= batch <= MAX_BATCH:
            return value
        samples, timing = value.get("samples", 2000), value.get("timing", {})
        samples = samples if isinstance(samples, dict) else {"n": samples}
        timing = {"batch_size": batch, **timing} if isinstance(timing, dict) else timing
        return {**value, "samples": {"shard": batch, **samples}, "timing": timing}

    @classmethod
    def check(cls, given: Mapping[str, Any], context: Any) -> Iterable[InitErrorDetails]:
        """Everything that the lists must agree about."""
        return rules.faults(given, context)


def layout(channels_last: bool | str) -> bool:
    """Whether the network runs in channels-last memory layout, which ``auto`` does.

    Part of a cell's identity, so it must not depend on the device: float32 on a CPU gains a tenth by it and 16-bit
    types on a GPU need it; 16-bit types on a CPU, which lose by it, can switch it off.
    """
    return channels_last is not False
