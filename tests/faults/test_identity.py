"""Every field of a cell's id, changed alone, gives another id: nothing stored is found under it."""

from copy import deepcopy

from faults.sandbox import COUNTS

from diffbench.store.shards import ShardRange, Store, Wanted
from diffbench.suite.identity import digest
from diffbench.suite.plan import plan
from diffbench.suite.read import read_suite


def leaves(value, path=()):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, (list, tuple)) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value


def changed(identity, path, value):
    other = deepcopy(identity)
    target = other
    for part in path[:-1]:
        if isinstance(target[part], tuple):
            target[part] = list(target[part])
        target = target[part]
    target[path[-1]] = mutated(value)
    return other


def mutated(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1e-9 * abs(value) + 1e-9
    return f"{value}x" if isinstance(value, str) else "x"


def test_every_field_mutated_alone_is_a_miss(whole):
    store = Store(whole.run)
    for cell in plan(read_suite(whole.suite)):
        assert digest(cell.identity) == cell.id
        assert store.flaw(cell.id, ShardRange(0, 4), Wanted(None, {}, 0)) is None
        for path, value in leaves(cell.identity):
            other = digest(changed(cell.identity, path, value))
            assert other != cell.id, path
            assert store.flaw(other, ShardRange(0, 4), Wanted(None, {}, 0)).kind == "missing", path
            COUNTS["fields of the id mutated, all misses"] += 1
