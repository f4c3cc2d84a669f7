"""YAML to a specification to a list of cells."""
