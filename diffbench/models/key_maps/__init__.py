"""Checkpoints of the original repositories as networks of diffusers: names, shapes and order of their tensors."""
