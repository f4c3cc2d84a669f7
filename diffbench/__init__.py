"""diffbench: evaluation and benchmarking of diffusion samplers."""

__version__ = "0.1.0"
