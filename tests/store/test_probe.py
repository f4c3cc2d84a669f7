import json

import numpy as np
import pytest

from diffbench.errors import StoreError
from diffbench.store.probe import (
    Answer,
    Answers,
    difference,
    read_answers,
    replace_answers,
    settle,
    stored_digest,
)
from diffbench.store.sealed import read_sealed, seal

HERE = {"device": "cpu", "torch": "2.9"}


def answers(values, dtype="float32", scale=2.0, where=HERE, name="denoised"):
    return Answers({name: Answer(np.asarray(values, dtype=np.float64), dtype, np.array([scale]))}, where)


OLD = [[1.0, -2.0], [0.5, 0.0]]
# Relative to the scale, as the design states them: the same device and torch, and others.
ALLOWED = [
    ("float64", 1e-9, 1e-9),
    ("float32", 1e-5, 2e-3),
    ("float16", 2e-3, 5e-3),
    ("bfloat16", 1e-2, 4e-2),
    ("uint8", 0.0, 0.0),
]


@pytest.mark.parametrize(("dtype", "same", "other"), ALLOWED)
@pytest.mark.parametrize("where", [HERE, {**HERE, "device": "gpu"}, {**HERE, "torch": "2.10"}])
def test_what_numerics_may_change_depends_on_precision_and_on_place(dtype, same, other, where):
    allowed = same if where == HERE else other
    old = answers(OLD, dtype)
    for factor, tolerated in ((0.9, True), (1.1, False)):
        new = np.array(OLD)
        new[1, 0] += factor * allowed * 2.0 if allowed else (0.0 if tolerated else 1.0)
        found = difference(old, answers(new, dtype, where=where))
        assert (found is None) == tolerated, (dtype, where, factor)
    assert found.name == "denoised" and found.allowed == allowed
    assert found.by == pytest.approx(1.1 * allowed if allowed else 0.5)
    assert str(found) == f"denoised differs by {found.by:.2g} of its size ({allowed:g} is allowed)"


def test_the_scale_is_the_old_one_and_may_differ_from_row_to_row():
    old = Answers({"a": Answer(np.ones((2, 3)), "float32", np.array([[1.0], [1000.0]]))}, HERE)
    new = np.ones((2, 3))
    new[1] += 1e-3  # 1e-6 of 1000
    assert difference(old, Answers({"a": Answer(new, "float32", np.array([1e-9]))}, HERE)) is None
    new[0] += 1e-3
    assert difference(old, Answers({"a": Answer(new, "float32", np.array([1e9]))}, HERE)).by == pytest.approx(1e-3)


def test_not_a_number_equals_itself_only_and_infinity_too():
    nan = answers([[np.nan, 1.0], [np.inf, 2.0]])
    assert difference(nan, nan) is None
    for other in ([[0.0, 1.0], [np.inf, 2.0]], [[np.nan, np.nan], [np.inf, 2.0]], [[np.nan, 1.0], [2.0, np.inf]]):
        assert difference(nan, answers(other)).by == np.inf
    assert difference(nan, answers([[np.nan, 1.0], [np.inf, 2.1]])).by == pytest.approx(0.05)


def test_only_not_a_number_is_no_difference(tmp_path):
    nan = answers([np.nan, np.nan], scale=0.0)
    assert difference(nan, nan) is None
    assert difference(settle(tmp_path / "p.json", nan), nan) is None


def test_a_scale_of_zero_forbids_any_change():
    assert difference(answers([0.0], scale=0.0), answers([0.0], scale=0.0)) is None
    assert difference(answers([0.0], scale=0.0), answers([1e-300], scale=0.0)) is not None


@pytest.mark.parametrize("other", [answers([OLD]), answers([1.0, -2.0]), answers(OLD, "float16")])
def test_another_shape_or_precision_is_another_answer(other):
    assert difference(answers(OLD), other).by == np.inf


def test_an_answer_that_only_one_has_differs_and_the_largest_change_is_told():
    one, two = answers(OLD).named, answers(OLD, name="decoded").named
    both, worse = Answers({**one, **two}, HERE), answers(np.array(OLD) + 1, name="decoded").named
    assert difference(both, Answers(one, HERE)).name == "decoded"
    assert difference(Answers(two, HERE), both).name == "denoised"
    little = answers(np.array(OLD) + 0.1).named
    assert difference(both, Answers({**little, **worse}, HERE)).name == "decoded"


def test_settled_answers_are_read_and_stay(tmp_path):
    path, first = tmp_path / "probes" / "m.json", answers([[1 / 3, np.nan], [np.inf, -1e-300]])
    assert settle(path, first) is first
    stored = read_answers(path)
    np.testing.assert_array_equal(stored.named["denoised"].values, [[1 / 3, np.nan], [np.nan, -1e-300]])
    assert difference(stored, first) is None and dict(stored.where) == HERE
    before = path.read_bytes()
    assert settle(path, answers(OLD)).digest == first.digest
    assert path.read_bytes() == before


def test_the_digest_is_that_of_the_file_and_survives_reading_and_writing(tmp_path):
    path, own = tmp_path / "m.json", answers([[0.1, np.nan]])
    settle(path, own)
    assert len(own.digest) == 16 and int(own.digest, 16) >= 0
    assert stored_digest(path) == own.digest == read_answers(path).digest
    assert own.digest == answers([[0.1, np.nan]]).digest
    others = [answers([[0.1, np.inf - np.inf]], "float16"), answers([[0.1 + 1e-16, np.nan]]), answers([[0.1, 0.0]])]
    others += [answers([[0.1, np.nan]], scale=1.0), answers([[0.1, np.nan]], where={})]
    assert own.digest not in {other.digest for other in others}


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data.replace(b"2.0", b"2.1"), lambda _: b""])
def test_a_damaged_file_is_an_error_and_is_replaced_when_answers_are_settled(tmp_path, damage):
    path = tmp_path / "m.json"
    settle(path, answers(OLD))
    path.write_bytes(damage(path.read_bytes()))
    for read in (read_answers, stored_digest):
        with pytest.raises(StoreError, match=r"m\.json"):
            read(path)
    new = answers(np.array(OLD) + 1)
    assert settle(path, new) is new
    assert read_answers(path).digest == new.digest


def test_answers_of_another_format_are_refused(tmp_path):
    path = tmp_path / "m.json"
    path.write_bytes(seal({**answers(OLD).to_dict(), "format": 99}))
    with pytest.raises(StoreError, match="its format is 99, not 1"):
        read_answers(path)


def test_replaced_answers_have_another_digest_on_disk(tmp_path):
    path = tmp_path / "m.json"
    settle(path, answers(OLD))
    replace_answers(path, answers(np.array(OLD) + 1))
    assert stored_digest(path) == answers(np.array(OLD) + 1).digest
    assert json.loads(path.read_text())["answers"] == read_sealed(path)["answers"]
