"""Training of the reference models, one module for each kind of network."""
