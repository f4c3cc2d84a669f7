import json

import pytest

from diffbench.errors import StoreError
from diffbench.store import atomic
from diffbench.store.sealed import read_sealed, seal, unseal, write_sealed

CONTENT = {"value": 1.5, "list": [1, None, "ä"], "nested": {"a": {}}}


def test_what_was_sealed_is_read_and_is_plain_json(tmp_path):
    write_sealed(tmp_path / "x.json", CONTENT)
    assert read_sealed(tmp_path / "x.json") == CONTENT
    plain = json.loads((tmp_path / "x.json").read_text())
    assert plain.pop("sha256") and plain == CONTENT


def test_every_changed_byte_and_every_cut_is_found(tmp_path):
    data = seal(CONTENT)
    for position in range(len(data)):
        for bit in range(8):
            with pytest.raises(StoreError, match=r"x\.json"):
                unseal(data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :], tmp_path / "x.json")
        with pytest.raises(StoreError):
            unseal(data[:position], tmp_path / "x.json")
    with pytest.raises(StoreError):
        unseal(data + b"\n", tmp_path)


def test_nan_and_a_seal_of_ones_own_are_refused():
    for content in ({"value": float("nan")}, {"sha256": "x"}, {}):
        with pytest.raises(ValueError, match=r"compliant|sealed"):
            seal(content)


def test_equal_content_is_not_written_again(tmp_path, monkeypatch):
    write_sealed(tmp_path / "x.json", CONTENT)
    monkeypatch.setattr(atomic, "write_together", None)
    write_sealed(tmp_path / "x.json", CONTENT)
