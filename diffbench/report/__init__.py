"""A run folder to tables, figures and pages; needs no torch."""
