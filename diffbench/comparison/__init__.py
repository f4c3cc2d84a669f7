"""Two runs, or the cells of one: paired differences and verdicts."""
