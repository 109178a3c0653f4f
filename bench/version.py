"""The version of this project: CHANGELOG.md's, with .dev0 until it is released (see CONTRIBUTING.md)."""

__version__ = "0.1.0.dev0"
