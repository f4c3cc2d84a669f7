"""``diffbench compare`` on the command line: exit codes, and what is written."""

import json

import pytest
from tiny_run import run, tiny_suite


@pytest.fixture(scope="module")
def folders(checkpoint, tmp_path_factory):
    root = tmp_path_factory.mktemp("compared")
    shared = {"samples": {"n": 60, "shard": 60}, "metrics": ["is", "kid"], "run": {"batch_size": 60, "device": "cpu"}}
    clipped = {"models": [{"id": "tiny", "source": str(checkpoint), "clip": [-0.2, 0.2]}]}
    for name, changes in (("base", {}), ("again", {}), ("clipped", clipped), ("more", {"samples": 62})):
        run(tiny_suite(checkpoint, **{**shared, **changes}), root / name)
    return root


@pytest.mark.parametrize(
    ("base", "new", "more", "code", "said"),
    [
        ("base", "again", [], 0, "0 worse, 0 better, 6 the same, 0 inconclusive of 6 gated"),
        ("base", "more", [], 2, "can't be compared: n: 60 in the base, 62 in the new"),
        ("base", "nowhere", [], 4, "not a run folder"),
        ("base", "again", ["--gate", "fdi"], 2, 'did you mean "fid"?'),
        ("base", "again", ["--gate", "kid=x"], 2, '"x" is no margin'),
        ("base", "again", ["--gate", "fid"], 3, "fid: gated, but no cell has it on both sides"),
        ("base", "again", ["--alpha", "0.7"], 2, "alpha"),
    ],
)
def test_exit_codes(diffbench, folders, base, new, more, code, said):
    fail = ["--fail-on", "inconclusive"]
    found, out, err = diffbench("compare", str(folders / base), str(folders / new), *more, *fail)
    assert found == code and said in out + err and "Traceback" not in err


def test_worse_is_1_unless_nothing_fails(diffbench, folders, tmp_path):
    arguments = ["compare", str(folders / "base"), str(folders / "clipped"), "--gate", "kid=0"]
    turned = ["compare", str(folders / "clipped"), str(folders / "base"), "--gate", "kid=0"]
    codes = [diffbench(*one)[0] for one in (arguments, turned)]
    assert sorted(codes) == [0, 1], "worse one way round, better the other"
    worse = arguments if codes[0] else turned
    code, out, err = diffbench(*worse, "--markdown", str(tmp_path / "a.md"), "--junit", str(tmp_path / "a.xml"))
    assert code == 1 and "WORSE" in out and "gated scores" in err and "is worse than" in err
    assert "❌ regression" in (tmp_path / "a.md").read_text() and "<failure" in (tmp_path / "a.xml").read_text()
    code, out, _ = diffbench(*worse, "--fail-on", "nothing", "--json")
    assert code == 0 and any(row["verdict"] == "WORSE" and row["gated"] for row in json.loads(out))


def test_by_ranks_within_a_run(diffbench, folders):
    code, out, _ = diffbench("compare", str(folders / "base"), "--by", "sampler", "--metric", "kid")
    assert code == 0 and "tiny · nfe 2" in out and "best" in out
    code, out, _ = diffbench("compare", str(folders / "base"), "--by", "sampler", "--metric", "kid", "--json")
    assert {row["place"] for row in json.loads(out)} == {1, 2, 3}
    for more, said in (
        (["--by", "sampler", "--metric", "fid"], "no metric 'fid'"),
        ([], "runs, one and --by"),
    ):
        code, _, err = diffbench("compare", str(folders / "base"), *more)
        assert code == 2 and said in err
