"""Stored records -> Scorecard. No torch, no attack library: numbers come from records alone."""
