"""YAML -> a typed, frozen Suite."""
