"""Files: atomic writes, checksums, locks, and what is asked of those of strangers."""
