"""Noise whose coefficients in a sample can be read off: samplers are linear in it where the denoiser is."""

import torch


class Coefficients:
    """Unit vectors in place of noise: the start is the first, the i-th step's noise the (i+1)-th."""

    def __init__(self, count, start):
        self.count, self.start = count, start

    def normal(self, purpose, step, *interval):
        vector = torch.zeros(1, self.count, 1, 1, dtype=torch.float64)
        vector[0, 0 if purpose == "start" else 1 + step] = self.start if purpose == "start" else 1.0
        return vector
