"""A stranger's adapter_config.json -> peft's configuration; nothing that it names is run, read or fetched."""

import inspect
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from packaging.version import Version

from adapters.errors import ModelError
from adapters.files.guards import brief, check_pattern, check_patterns, read_json
from adapters.files.names import CONFIG_FILE

ABOUT = ("task_type", "auto_mapping", "base_model_name_or_path", "revision", "peft_version", "runtime_config")
"""Fields that say where an adapter comes from and for whom; peft would look some of them up on the Hub."""
ELSEWHERE = ("POLY", "SHADOW", "TRAINABLE_TOKENS", "XLORA")
"""Methods that, as prompt learning, need more than an image: a task's number, tokens, a language model."""
AT_RANDOM = {"ADAMSS": "0.20"}
"""Methods that peft before this version puts on at random: one adapter is another network at each load."""
NO_SIZE = re.compile(r"alpha|seed|key|step|token|layer|warmup|interval|tinit|tfinal|deltaT")
LARGEST = 1024
"""The most a whole number in a configuration may be, or a side of the adapter's tensors: no rank is more."""


class AdapterConfig:
    """The configuration in ``folder``: ``fields`` as they are, and ``notes`` on what has no meaning here."""

    def __init__(self, folder: Path, largest: int) -> None:
        """Read it; ``largest`` is the longest side of the adapter's tensors.

        Raises ModelError if it cannot be used.
        """
        self.file = folder / CONFIG_FILE
        self.fields = read_json(self.file)
        self.method = self._known_method()
        if self.fields.get("megatron_config"):
            raise ModelError(
                f"{self.file}: refused, since loading it could run code (megatron_config imports a module)"
            )
        self._check_values(max(largest, LARGEST))
        self.unknown = self._unknown_keys()

    def _known_method(self) -> Any:
        """The class of peft for the method that is named."""
        from peft import PEFT_TYPE_TO_CONFIG_MAPPING

        known = {str(method.value): cls for method, cls in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
        named = self.fields.get("peft_type")
        if not isinstance(named, str) or named not in known:
            raise ModelError(
                f"{self.file}: peft_type {brief(named)} is not one that this peft knows; upgrade peft, or"
                " correct it"
            )
        from peft.config import PromptLearningConfig

        if named in ELSEWHERE or issubclass(known[named], PromptLearningConfig) or "prompt" in named.lower():
            raise ModelError(
                f"{self.file}: peft_type {named} is for language models: a network that takes images has no"
                " place for it"
            )
        self._check_version(named)
        return known[named]

    def _check_version(self, method: str) -> None:
        since, installed = AT_RANDOM.get(method, "0"), version("peft")
        if Version(installed) < Version(since):
            raise ModelError(
                f"{self.file}: peft {installed} puts {method} on at random, as another network at each load;"
                f" upgrade peft to {since} or newer"
            )

    def _check_values(self, largest: int) -> None:
        """Raise ModelError if a pattern could take for ever, or no adapter of this size has such a number."""
        values = {name: value for name, value in self.fields.items() if name not in ABOUT}
        try:
            if isinstance(target := values.pop("target_modules", None), str):
                check_pattern(target)
            check_patterns(
                [
                    text
                    for value in [*values.values(), target]
                    for text in _strings(value)
                    if text is not target
                ]
            )
        except ValueError as error:
            raise ModelError(f"{self.file}: {error}") from None
        for name, value in values.items():
            numbers = [] if NO_SIZE.search(name) else list(_numbers(value))
            if name.startswith("init"):
                numbers += [
                    float(digits) for text in _strings(value) for digits in re.findall(r"\d{4,}", text)
                ]
            if any(abs(number) > largest for number in numbers):
                raise ModelError(
                    f"{self.file}: {name} is larger than any side of the adapter's tensors ({largest} at"
                    " most)"
                )

    def _unknown_keys(self) -> tuple[str, ...]:
        """Keys that this peft does not have, and that are switched off.

        Raises ModelError for one that is not.
        """
        known = inspect.signature(self.method.__init__).parameters
        unknown = {
            name: value for name, value in self.fields.items() if name not in known and name not in ABOUT
        }
        active = sorted(name for name, value in unknown.items() if value not in (None, False, "", [], {}))
        if active:
            raise ModelError(
                f"{self.file}: this peft does not know {', '.join(map(brief, active))}, which may change what"
                " the adapter does; upgrade peft, or delete what has no effect"
            )
        return tuple(sorted(unknown))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what stands in the configuration and plays no part here."""
        name, task = self.file.parent.name, self.fields.get("task_type")
        off = ", ".join(map(brief, self.unknown))
        return (
            *(
                (f"{name}: task_type {brief(task)} is ignored: the adapter is put on the network as it is",)
                if task
                else ()
            ),
            *(
                (f"{name}: this peft does not know {off}, switched off in the adapter's configuration",)
                if off
                else ()
            ),
        )

    def build(self) -> Any:
        """The PeftConfig. Raises whatever peft raises for values that it does not take."""
        given = {name: value for name, value in self.fields.items() if name not in (*ABOUT, *self.unknown)}
        return self.method(**self.method.check_kwargs(**given))


def _strings(value: object) -> Iterator[str]:
    """The texts in ``value``, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in (*value.keys(), *value.values()):
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _numbers(value: object) -> Iterator[float]:
    """The numbers in ``value``, those that it is a list or dictionary of among them."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)
