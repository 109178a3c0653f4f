"""Defences: what stands around trained models. One file each, and a line in ``registry``."""
