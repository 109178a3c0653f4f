"""Errors of models and data that a user can mend."""


class ModelError(Exception):
    """A model cannot be built, trained or loaded as asked. The message names what is wrong and the fix."""


class ChangedError(ModelError):
    """What was trained is gone, or another, since this run read or planned it: the same command starts from what is there."""
