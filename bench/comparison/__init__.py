"""Two runs, or a run and its reference, cell by cell: what changed, and whether a gate lets it pass."""
