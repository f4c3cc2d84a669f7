"""A plan to a run folder."""
