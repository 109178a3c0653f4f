"""Errors of models and data that a user can mend."""


class ModelError(Exception):
    """A model cannot be built, trained or loaded as asked. The message names what is wrong and the fix."""
