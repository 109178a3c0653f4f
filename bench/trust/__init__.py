"""Controls and probes that need the model: they measure whether an attack could have failed silently.

Scoring judges.
"""
