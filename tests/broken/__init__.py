"""Defences that are known to be broken: they hide gradients instead of being robust."""
