"""Names in as many columns as there are."""

import pytest
from rich.cells import cell_len

from diffbench.terminal import cut


@pytest.mark.parametrize(
    ("columns", "shown"), [(8, "abcdefgh"), (7, "abc…fgh"), (5, "ab…gh"), (4, "ab…h"), (2, "a…"), (1, "…")]
)
def test_the_middle_is_left_out(columns, shown):
    assert cut("abcdefgh", columns) == shown


def test_wide_characters_count_twice():
    for columns in range(1, 30):
        assert cell_len(cut("a-数学-long-name-of-a-model", columns)) <= columns
