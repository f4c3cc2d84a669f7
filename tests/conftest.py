"""One thread each: the networks of the tests are too small to share, and tests may run beside other work."""

import os

import torch
from hypothesis import settings

# Continuous integration tries the same examples every time; elsewhere new ones are looked for.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

torch.set_num_threads(1)
