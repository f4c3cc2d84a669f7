"""A comparison as text: for the terminal, as Markdown for a pull request, as JUnit XML for CI, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any
from xml.etree import ElementTree

from diffbench.comparison.compare import Compared, Comparison
from diffbench.comparison.equality import Equality
from diffbench.comparison.join import cell_key, label
from diffbench.comparison.ranking import Ranking
from diffbench.document.words import counted
from diffbench.inert import markdown_text, printable
from diffbench.report.frame import short_title, signed, title
from diffbench.report.measured import number
from diffbench.report.tables import Entry, Table, markdown

_WORDS = ("WORSE", "INCONCLUSIVE", "BETTER", "SAME")
_COLUMNS = ("cell", "metric", "base", "new", "difference", "rho", "verdict", "n to tell")


def headline(comparison: Comparison) -> str:
    """``2 worse, 1 better, 9 the same, 0 inconclusive of 12 gated``."""
    found: Counter[str] = Counter(row.verdict.word for row in comparison.rows if row.gated)
    words = {"WORSE": "worse", "BETTER": "better", "SAME": "the same", "INCONCLUSIVE": "inconclusive"}
    told = ", ".join(f"{found[key]} {word}" for key, word in words.items())
    return f"{told} of {found.total()} gated"


def notes(comparison: Comparison) -> list[str]:
    """What the table does not show: rows of one side alone, samples of other code, and what the words mean."""
    told = []
    for side, rows in (("the new side", comparison.only_base), ("the base", comparison.only_new)):
        cells = {cell_key(row): label(row) for row in rows}
        if cells:
            first, *others = cells.values()
            more = f" and {len(others)} more" if others else ""
            told.append(f"{side} lacks {len(rows)} rows that the other has: {first}{more}")
    if comparison.other_code:
        told.append(
            f"{counted(len(comparison.other_code), 'cell')} ({comparison.other_code[0]} …) of other code than the new "
            "side's last session ran: sample again (--force) before it gates anything"
        )
    open_rows = [row for row in comparison.rows if row.gated and row.verdict.word == "INCONCLUSIVE"]
    untested = Counter(row.verdict.reason for row in open_rows)
    told += [f"{counted(count, 'score')} not tested: {why}" for why, count in untested.most_common(3) if why]
    told.append(f"samples: {_samples(list(comparison.samples.values()))}")
    if comparison.seeds is not None:
        one, other = comparison.seeds
        told.append(f"other seeds ({one} and {other}): samples start from other noise, and pairing gains nothing")
    told += _answers(comparison)
    if comparison.looks:
        deeper = len({cell_key(row.new) for row in comparison.rows if (row.new["n"] or 0) > comparison.looks[0]})
        told.append(
            f"looked at n = {', '.join(map(str, comparison.looks))}, each time with its share of the false alarms; "
            f"{counted(deeper, 'cell')} with more samples than the runs have"
        )
    by = {"holm": "Holm: the chance of one", "bh": "Benjamini-Hochberg: their share among all"}[comparison.adjust]
    told.append(
        f"difference = new - base with its paired 95% interval; rho: correlation of the pairing; "
        f"false alarms at most {comparison.alpha:g} for the whole table ({by})"
    )
    return told


def _answers(comparison: Comparison) -> list[str]:
    """Which networks and samplers answer other than before; nothing where no answer is known."""
    known = {key: one for key, one in comparison.changed.items() if one.known}
    if not known:
        return []
    models = {key[0]: one.model for key, one in known.items() if one.model is not None}
    samplers = {
        f"{key[0]} · {key[1]}": one.sampler
        for key, one in known.items()
        if one.sampler is not None and comparison.seeds is None  # their trajectories start from the seed's noise
    }
    told = [
        f"{what} that answer other than before: " + "; ".join(f"{name} ({by})" for name, by in list(found.items())[:3])
        + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        for what, found in (("networks", models), ("samplers", samplers))
        if found
    ]  # fmt: skip
    return told or [f"networks{' and samplers' if comparison.seeds is None else ''} answer as before"]


def _samples(found: Sequence[Equality]) -> str:
    equal = sum(one.equal is True for one in found)
    if equal == len(found):
        return "all bit-equal"
    unknown = sum(one.equal is None for one in found)
    told = f"{equal} of {counted(len(found), 'cell')} bit-equal{f', {unknown} without features' if unknown else ''}"
    apart = [one for one in found if one.psnr is not None]
    if not apart:
        return told
    worst = min(one.psnr or 0.0 for one in apart)
    return f"{told}; kept images differ by up to {max(one.largest or 0 for one in apart)} of 255, PSNR {worst:.1f} dB"


def told_of(row: Compared) -> str:
    """Verdict, with what would settle an open one."""
    verdict = row.verdict
    if verdict.word != "INCONCLUSIVE":
        return verdict.word
    if verdict.samples is not None:
        return f"INCONCLUSIVE; n = {_about(verdict.samples)} would tell"
    return f"INCONCLUSIVE: {verdict.reason}" if verdict.reason else "INCONCLUSIVE"


def _about(samples: int) -> str:
    """Two significant digits, upwards: the number is an estimate."""
    unit = int("1" + "0" * max(0, len(str(samples)) - 2))
    return f"{-(-samples // unit) * unit:,}"


def comparison_table(comparison: Comparison, everything: bool = False) -> Table:
    """What is not SAME of the gated rows, and what is BETTER or WORSE of the others (in brackets), the worst first.

    ``everything``: all rows, in the new side's order.
    """
    rows = list(comparison.rows)
    if not everything:
        told = [r for r in rows if r.verdict.word in ("WORSE", "BETTER") or (r.gated and r.verdict.word != "SAME")]
        rows = sorted(told, key=lambda row: _WORDS.index(row.verdict.word))
    entries, groups = [], []
    for index, row in enumerate(rows):
        if not index or cell_key(row.new) != cell_key(rows[index - 1].new):
            groups.append(index)
        found = row.difference
        rho = "–" if found.correlation is None else f"{found.correlation:.2f}"
        verdict = row.verdict.word if row.gated else f"({row.verdict.word})"
        more = "–" if row.verdict.samples is None else _about(row.verdict.samples)
        values = (number(found.base, 4), number(found.new, 4), signed(row.difference), rho)
        texts = (label(row.new), short_title(row.metric), *values, verdict, more)
        strong = row.gated and row.verdict.word in ("WORSE", "BETTER")
        entries.append(tuple(Entry(text, strong and column == 6) for column, text in enumerate(texts)))
    return Table(_COLUMNS, tuple(entries), (2, 3, 4, 5, 7), tuple(groups))


def ranking_table(rankings: Sequence[Ranking]) -> Table:
    """The cells of every group, best first, in bold those that can't be told from the best."""
    entries: list[tuple[Entry, ...]] = []
    groups = []
    for ranking in rankings:
        groups.append(len(entries))
        for place, rival in enumerate(ranking.rivals):
            found = rival.to_best
            told = "best" if not place else "not told from it" if rival.among_best else f"worse than {rival.worse_than}"
            rho = "–" if found is None or found.correlation is None else f"{found.correlation:.2f}"
            texts = (
                ranking.group,
                rival.name,
                number(rival.row["value"], 4),
                "–" if found is None else signed(found),
                rho,
                f"{told} (not tested)" if rival.p is None else told,
            )
            entries.append(tuple(Entry(text, rival.among_best and column == 1) for column, text in enumerate(texts)))
    metric = title(rankings[0].metric) if rankings else ""
    columns = ("at", "cell", metric, "behind the best", "rho", "")
    return Table(columns, tuple(entries), (2, 3, 4), tuple(groups))


def ranking_rows(rankings: Sequence[Ranking]) -> list[dict[str, Any]]:
    """One JSON-able row a cell."""
    return [
        {
            "group": ranking.group,
            "metric": ranking.metric,
            "place": place + 1,
            **{key: rival.row[key] for key in ("model", "sampler", "options", "grid", "budget_kind", "budget", "n")},
            "value": rival.row["value"],
            "behind_best": rival.to_best and rival.to_best.value,
            "se": rival.to_best and rival.to_best.se,
            "correlation": rival.to_best and rival.to_best.correlation,
            "p": rival.p,
            "worse_than": rival.worse_than,
            "among_best": rival.among_best,
        }
        for ranking in rankings
        for place, rival in enumerate(ranking.rivals)
    ]


GATES = {"pass": "✅ no regression", "fail": "❌ regression", "inconclusive": "⚠️ inconclusive"}


def as_markdown(comparison: Comparison) -> str:
    """A comment for a pull request: the outcome, what is not the same, and everything folded away."""
    lines = [f"### diffbench: {GATES[comparison.gate]}", "", headline(comparison) + ".", ""]
    gaps = comparison.gaps
    lines += [f"No verdict where something is missing: {markdown_text('; '.join(gaps[:5]))}", ""] if gaps else []
    short = comparison_table(comparison)
    if short.rows:
        lines += [markdown(short)]
    lines += [f"- {markdown_text(note)}" for note in notes(comparison)]
    full = markdown(comparison_table(comparison, everything=True))
    # Inside a tag's line nothing is Markdown: escaped as HTML.
    summary = f"all {len(comparison.rows)} rows: base {_html(comparison.base)}, new {_html(comparison.new)}"
    return "\n".join([*lines, "", f"<details><summary>{summary}</summary>", "", full, "</details>", ""])


def _html(text: str) -> str:
    return escape(printable(text))


def as_junit(comparison: Comparison) -> bytes:
    """JUnit XML: a test case for every gated row; failures are regressions, skipped ones inconclusive."""
    gated = [row for row in comparison.rows if row.gated]
    counts = Counter(row.verdict.gate for row in gated)
    suite = ElementTree.Element(
        "testsuite",
        name="diffbench compare",
        tests=str(len(gated)),
        failures=str(counts["fail"]),
        skipped=str(counts["inconclusive"]),
        errors="0",
    )
    for row in gated:
        names = {"classname": printable(label(row.new)), "name": printable(short_title(row.metric))}
        case = ElementTree.SubElement(suite, "testcase", names)
        found = row.difference
        reason = f" ({row.verdict.reason})" if row.verdict.reason and row.verdict.word != "INCONCLUSIVE" else ""
        values = f"{number(found.base, 4)} -> {number(found.new, 4)}, {signed(found)}"
        text = printable(f"{values}: {told_of(row)}{reason}")
        if row.verdict.gate == "fail":
            ElementTree.SubElement(case, "failure", message=text)
        elif row.verdict.gate == "inconclusive":
            ElementTree.SubElement(case, "skipped", message=text)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"
