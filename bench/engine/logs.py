"""What a process logs: our own packages, not the libraries' chatter."""

import logging
import re
import warnings

from bench.attacks.registry import libraries

OURS = tuple(logging.getLogger(package) for package in ("bench", "adapters"))
"""The loggers of our own packages."""


def set_level(level: int) -> None:
    """Log our own from ``level`` on.

    Progress and notes are said where warnings are; where they are not, no library warns.
    """
    for logger in OURS:
        logger.setLevel(level)
    if level > logging.WARNING:
        warnings.simplefilter("ignore")


def quiet(handler: logging.Handler) -> None:
    """Our own log goes to ``handler``, the libraries' chatter does not."""
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    chatty = [
        *(module for made in libraries().values() for module in made.modules),
        "peft",
        "transformers",
        "torch",
    ]
    for module in chatty:
        logging.getLogger(module).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=rf"({'|'.join(map(re.escape, chatty))})(\.|$)")
