"""Suites are checked and planned where torch is not loaded."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["diffbench.diffusion.schedule", "diffbench.diffusion.grid"])
def test_importing_does_not_import_torch(module):
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
