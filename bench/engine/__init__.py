"""A suite -> units of work; one unit run."""
