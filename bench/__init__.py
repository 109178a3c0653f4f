"""LoRA robustness bench: suite -> plan -> run -> store -> score -> render."""

__version__ = "0.1.0"
