"""One thread each: the networks of the tests are too small to share, and tests may run beside other work."""

import torch

torch.set_num_threads(1)
