"""A history as tables and notes: for the terminal, for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from diffbench.comparison.history import History, Series, Step
from diffbench.comparison.join import label
from diffbench.comparison.replicates import Recipe
from diffbench.document.words import counted
from diffbench.report.frame import short_title, signed
from diffbench.report.measured import number
from diffbench.report.tables import Entry, Table

_COLUMNS = ("cell", "metric", "first", "last", "change", "clearest step", "at", "it is")


def clearest_first(found: History) -> list[Series]:
    """The series with a real step or change first, the clearest of them at the top; the others in the table's order."""

    def place(series: Series) -> float:
        steps = [step for step in (*series.steps, series.change) if step is not None and step.real]
        return min((step.adjusted for step in steps if step.adjusted is not None), default=2.0)

    return sorted(found.series, key=place)


def history_table(found: History, most: int | None = None, narrow: bool = False) -> Table:
    """First and last value, the change between them, and the clearest step; bold where it is told from no change.

    ``most``: rows at most, the clearest; ``narrow``: without the change.
    """
    rows, groups = [], []
    chosen = clearest_first(found)[:most]
    for index, series in enumerate(chosen):
        if not index or label(series.row) != label(chosen[index - 1].row):
            groups.append(index)
        rows.append(_row(found, series))
    if narrow:
        rows = [(*row[:4], *row[5:]) for row in rows]
        return Table((*_COLUMNS[:4], *_COLUMNS[5:]), tuple(rows), (2, 3, 4), tuple(groups))
    return Table(_COLUMNS, tuple(rows), (2, 3, 4, 5), tuple(groups))


def _row(found: History, series: Series) -> tuple[Entry, ...]:
    values = [number(point.value, 4) for point in series.points if point.value is not None]
    first, last = (values[0], values[-1]) if values else ("–", "–")
    step, change = series.largest, series.change
    differs = [field.partition(":")[0] for point in series.points for field in point.differs]
    total = f"other {differs[0]}" if differs else "–" if change is None else signed(change.difference)
    return (
        Entry(label(series.row)),
        Entry(short_title(series.metric)),
        Entry(first),
        Entry(last),
        Entry(total, not differs and change is not None and change.real),
        Entry("–" if step is None else signed(step.difference), step is not None and step.real),
        Entry("–" if step is None else found.runs[step.last].label),
        Entry(_word(step), step is not None and step.real),
    )


def _word(step: Step | None) -> str:
    if step is None:
        return "–"
    return step.found.upper() if step.real else {"not tested": "untested"}.get(step.found, step.found)


def runs_table(found: History) -> Table:
    """The runs in order: when their samples were made, and by which commit of diffbench."""
    rows = [
        tuple(
            Entry(text)
            for text in (
                str(place + 1),
                run.label,
                (run.started or "–")[:16],
                run.commit or "–",
                (run.code or "–")[:12],
            )
        )
        for place, run in enumerate(found.runs)
    ]
    return Table(("run", "name", "sampled (UTC)", "diffbench's commit", "sampling code"), tuple(rows), (0,), (0,))


def spread_table(found: History, recipes: Sequence[Recipe]) -> Table:
    """Every recipe: mean over its trainings, what differs between them, and what sampling alone would."""
    rows, groups = [], []
    several = len({recipe.place for recipe in recipes}) > 1
    for index, recipe in enumerate(recipes):
        own, before = recipe.spread, recipes[index - 1] if index else None
        if before is None or (before.name, before.place) != (recipe.name, recipe.place):
            groups.append(index)
        where = f" · {found.runs[recipe.place].label}" if several and recipe.place is not None else ""
        cell = label(recipe.row).partition(" · ")[2]
        half = None if own.low is None or own.high is None else (own.high - own.low) / 2
        mean = number(own.mean, 4) if half is None else f"{number(own.mean, 4)} ± {number(half, 2)}"
        ends = "–" if own.sd_low is None else f"{number(own.sd_low, 2)} to {number(own.sd_high, 2)}"
        texts = (f"{recipe.name}{where}", cell, short_title(recipe.metric), str(own.trainings), mean,
                 number(own.between, 2), number(own.sampling, 2), number(own.sd, 2), ends)  # fmt: skip
        rows.append(tuple(Entry(text) for text in texts))
    columns = ("recipe", "cell", "metric", "m", "mean", "between", "sampling", "both", "95% of both")
    return Table(columns, tuple(rows), tuple(range(3, 8)), tuple(groups))


def splits(found: History) -> list[str]:
    """Where values stop being scores of the same thing, in words, with how many series that concerns."""
    told: dict[str, list[Series]] = {}
    for series in found.series:
        for run, point in zip(found.runs, series.points, strict=True):
            for field in point.differs:
                told.setdefault(f"at {run.label}, {field}", []).append(series)
    return [f"{said} ({counted(len(concerned), 'score')}): no difference is taken" for said, concerned in told.items()]


def gaps(found: History) -> list[str]:
    """Missing values by their reason."""
    told: dict[str, list[str]] = {}
    for series in found.series:
        for run, point in zip(found.runs, series.points, strict=True):
            if point.value is None:
                told.setdefault(f"{run.label}: {point.reason}", []).append(label(series.row))
    return [f"{counted(len(names), 'value')} missing in {said} ({names[0]} …)" for said, names in told.items()]


def notes(found: History) -> list[str]:
    """What the table rests on, and what it does not show."""
    real = [step for series in found.series for step in series.steps if step.real]
    words = {word: sum(step.found == word for step in real) for word in ("worse", "better")}
    told = [
        f"{counted(found.tested, 'difference')} tested: steps from run to run, and changes from first to last; real "
        f"ones are in bold, with a chance of at most {found.alpha:g} that any of them is a false alarm (Holm). "
        f"Of the steps {words['worse']} are worse, {words['better']} better",
        "differences are new - old with their paired 95% interval: sample i of both runs starts from the same noise",
    ]
    crept = [s for s in found.series if s.change is not None and s.change.real and not any(t.real for t in s.steps)]
    if crept:
        first = crept[0]
        said = (
            f"{label(first.row)}, {short_title(first.metric)}: {signed(first.change.difference)}"
            if first.change
            else ""
        )
        told.append(f"{counted(len(crept), 'score')} changed from first to last though no step is real ({said} …)")
    reasons: dict[str, int] = {}
    for series in found.series:
        for step in series.steps:
            if step.found == "not tested":
                reason = step.difference.reason or f"{step.difference.n} samples are too few, or nothing varies"
                reasons[reason] = reasons.get(reason, 0) + 1
    told += [f"{counted(count, 'step')} not tested: {reason}" for reason, count in reasons.items()]
    return [*told, *splits(found), *gaps(found)]


def spread_notes(recipes: Sequence[Recipe]) -> list[str]:
    """What the columns of the replicates' table are, and what they rest on."""
    told = [
        "m trainings with other seeds; mean with its 95% interval over trainings and samples (Student's t); between: "
        "standard deviation that is due to training; sampling: standard error of one training's score; both: standard "
        "deviation of the values as they are, with its 95% interval by chi-square"
    ]
    larger = [(r, r.spread.between, r.spread.sampling) for r in recipes if r.spread.between and r.spread.sampling]
    if larger:
        recipe, between, sampling = max(larger, key=lambda one: one[1] / one[2])
        more = sum(between > sampling for _, between, sampling in larger)
        most = f"{short_title(recipe.metric)} of {label(recipe.row).partition(' · ')[2]}"
        told.append(
            f"retraining moves {more} of {len(recipes)} scores more than sampling does, at most "
            f"{between / sampling:.1f} times as much ({most})"
        )
    few = dict.fromkeys(r.spread.reason for r in recipes if r.spread.reason is not None)
    return [*told, *few]
