"""Every exception that diffbench raises; each class knows the exit code of the command it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class DiffbenchError(Exception):
    """Root of all errors raised on purpose; its text is one clear line for the user."""

    exit_code: ClassVar[int] = 4


def one_line(error: Exception) -> str:
    """What an error says, in one line; an exception that is not ours is named."""
    said = " ".join(str(error).split())
    if isinstance(error, DiffbenchError):
        return said
    return f"{type(error).__name__}: {said or 'without a word'}"


class UsageError(DiffbenchError):
    """The command line, or an argument of the Python API, asks for something impossible."""

    exit_code = 2


@dataclass(frozen=True)
class SuiteProblem:
    """One problem of a suite; ``line`` and ``column`` count from 1, and are 0 for what stands in no file.

    ``file`` is that of the problem, if it is not the suite's own: what the suite extends.
    """

    line: int
    column: int
    message: str
    file: str = ""


class SuiteError(DiffbenchError):
    """A suite can't be used; holds all its problems, each as ``file:line:col: message``.

    Problems of ``--set`` and of Python objects have no position; their messages come last.
    """

    exit_code = 2

    def __init__(self, path: str, problems: list[SuiteProblem]) -> None:
        self.path = path
        self.problems = sorted(problems, key=lambda p: (p.line == 0, p.file, p.line, p.column))
        lines = (f"{p.file or path}:{p.line}:{p.column}: {p.message}" if p.line else p.message for p in self.problems)
        super().__init__("\n".join(lines))


class CardError(DiffbenchError):
    """A model card is missing, malformed, or says something its checkpoint contradicts; a line for each problem.

    ``partial`` is what could be read of a malformed one, for whoever looks for further problems; None: nothing.
    """

    exit_code = 2

    def __init__(self, message: str, partial: object = None) -> None:
        self.partial = partial
        super().__init__(message)


class WeightsError(DiffbenchError):
    """A weight file is missing, is not the one that its card or manifest states, or is not safe to load."""

    exit_code = 2


class ReferenceDataError(DiffbenchError):
    """Statistics of the real data are missing, corrupt, or do not fit the images or the extractor."""

    exit_code = 2


class ImagesError(DiffbenchError):
    """Images that are given to be scored can't be read, or not in one way only."""

    exit_code = 2


class ScheduleError(DiffbenchError):
    """A noise schedule or time grid was asked for values outside its domain."""

    exit_code = 2


class ScoringError(DiffbenchError):
    """Features or images that no score can be computed from (not finite, wrong shape, too few)."""

    exit_code = 4


class CellFailed(DiffbenchError):
    """A cell could not be sampled or scored; the others go on."""

    exit_code = 4


class StoreError(DiffbenchError):
    """A run folder can't be read or written."""

    exit_code = 4


class OtherCode(DiffbenchError):
    """Networks or samplers answer otherwise than when a run's samples were made: old and new must not be mixed."""

    exit_code = 2


class IncompleteRun(DiffbenchError):
    """Not every cell has all its samples yet."""

    exit_code = 3


class NotReady(DiffbenchError):
    """The machine lacks something that is needed, or something on it is damaged."""

    exit_code = 3


class Regression(DiffbenchError):
    """Something that is compared is worse than its margin allows."""

    exit_code = 1


class ExpectationMissed(DiffbenchError):
    """A verified figure that the suite expects was not reached."""

    exit_code = 1


class Inconclusive(DiffbenchError):
    """More samples are needed to tell whether something is worse."""

    exit_code = 3


class Interrupted(DiffbenchError):
    """The user stopped the run; repeating the command resumes it."""

    exit_code = 130
