"""Heavy elementwise work on a shared machine is fastest, and its time steadiest, on one thread."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
