"""YAML documents read strictly: every value has a line and column, every problem a sentence."""
