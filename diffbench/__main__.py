"""``python -m diffbench``."""

from diffbench.cli import main

main()
