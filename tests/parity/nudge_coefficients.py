"""Changes one coefficient of one of our samplers by 1e-3 at a time, and checks that the parity tests fail.

    python tests/parity/nudge_coefficients.py

Every test that runs one of our samplers runs again for every array of its plan, the largest element in a row halfway
made 1.001 times as large; if it does not fail then, again for a row three quarters of the way, where the sigmas are
small. Prints what no test noticed, and counts: what a variant has but does not use (``middle`` of a Heun warm-up,
``rescale`` beside a predictor), and tests that show how far apart two samplers are rather than how close.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parity import trajectories  # noqa: E402

NUDGE = 1.001


def arrays(plan, path=""):
    """(Name, array) of all that a plan holds, also in the plans of its parts."""
    if isinstance(plan, tuple):
        for index, part in enumerate(plan):
            yield from arrays(part, f"{path}[{index}]")
    elif isinstance(plan, np.ndarray):
        yield path, plan
    elif dataclasses.is_dataclass(plan) and type(plan).__module__.startswith("diffbench.samplers"):
        for field in dataclasses.fields(plan):
            yield from arrays(getattr(plan, field.name), f"{path}.{field.name}".lstrip("."))


def place(array, share):
    """Index of the largest element in the first row beyond this share that is not zero."""
    rows = np.flatnonzero(np.abs(array).reshape(len(array), -1).max(axis=1))
    row = rows[np.searchsorted(rows, int(len(array) * share)).clip(max=len(rows) - 1)]
    return (row, *np.unravel_index(np.argmax(np.abs(array[row])), array[row].shape))


class Nudged:
    """A sampler one of whose coefficients is another; it tells ``seen`` the names of those that there are."""

    def __init__(self, sampler, name, share, seen):
        self.sampler, self.name, self.share, self.seen = sampler, name, share, seen

    def plan(self, grid, schedule):
        plan = self.sampler.plan(grid, schedule)
        for name, array in arrays(plan):
            if array.dtype == np.float64 and np.any(array):
                self.seen.add(name)
                if name == self.name:
                    array.setflags(write=True)
                    array[place(array, self.share)] *= NUDGE
        return plan

    def __getattr__(self, name):
        return getattr(self.sampler, name)


class Outcomes:
    """What every test did, and which coefficients its samplers had."""

    def __init__(self, name, share):
        self.name, self.share, self.failed, self.seen = name, share, {}, {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        seen = self.seen.setdefault(item.nodeid, set())
        trajectories.adjust = lambda sampler: Nudged(sampler, self.name, self.share, seen)
        return (yield)

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self.failed[report.nodeid] = report.failed


def outcomes(tests, name=None, share=0.0):
    found = Outcomes(name, share)
    pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "--no-summary", *tests], plugins=[found])
    return found


def main():
    root = Path(__file__).resolve().parents[2]
    files = [str(path) for path in sorted((root / "tests/parity").glob("test_*diffusers*.py"))]
    plain = outcomes(files)
    if any(plain.failed.values()):
        raise SystemExit("tests fail before anything is changed")
    total, unnoticed = 0, []
    for name in sorted(set().union(*plain.seen.values())):
        having = [test for test, seen in plain.seen.items() if name in seen]
        total += len(having)
        for share in (0.5, 0.75):
            failed = outcomes([str(root / test) for test in having], name, share).failed if having else {}
            having = [test for test in having if not failed[test]]
        unnoticed += [(test, name) for test in having]
    for test, name in unnoticed:
        print(f"{test}: {name}")
    print(f"{total} coefficients changed by 1e-3, {len(unnoticed)} unnoticed")


if __name__ == "__main__":
    main()
