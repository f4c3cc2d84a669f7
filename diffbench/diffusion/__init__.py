"""The mathematics of diffusion: schedules, grids, predictions, denoisers, noise. No files, no I/O."""
