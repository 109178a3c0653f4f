"""Trained models, kept by content."""
