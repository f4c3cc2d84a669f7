"""Images to features to scores; knows nothing of diffusion."""
