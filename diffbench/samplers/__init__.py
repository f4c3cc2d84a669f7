"""One family of updates a file; ``integrate`` has the only loop over the grid."""
