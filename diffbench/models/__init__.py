"""A checkpoint to a denoiser and a codec."""
