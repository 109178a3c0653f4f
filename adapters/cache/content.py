"""What names a model by the content of its files, and what to say when they are not what they were."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from adapters.cache.recipe import Recipe, sha256_of_model
from adapters.errors import ChangedError
from adapters.files.names import ADAPTER, BASE_FILE, CONFIG_FILE, OUTPUTS_FILE, WEIGHTS, weights_name
from adapters.methods.peft_config import canonical_config

T = TypeVar("T")
CONFIG = f"{ADAPTER}/{CONFIG_FILE}"


def of_backbone(files: Mapping[str, T]) -> dict[str, T]:
    """The backbone's ``files`` as they are called beside the model's own."""
    return {f"backbone/{name}": value for name, value in files.items()}


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """The sha256 of each of ``files``."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def content_of_model(recipe: Recipe, digests: Mapping[str, str], config: bytes | None) -> str:
    """What names the model of ``recipe``, of files with ``digests`` and an adapter, if any, of ``config``."""
    names = (f"backbone/{WEIGHTS}", weights_name(digests), f"{ADAPTER}/{BASE_FILE}", OUTPUTS_FILE)
    said = () if config is None else (canonical_config(config, CONFIG),)
    return sha256_of_model(recipe, *(digests[name] for name in names if name in digests), *said)


@contextmanager
def still_there(recipe: Recipe, sha256: str | None = None) -> Iterator[None]:
    """What cannot be read in here was removed or damaged since the run was planned with it (``sha256``)."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise not_as_planned(recipe, sha256, f"removed or damaged ({error})") from None


def not_as_planned(recipe: Recipe, sha256: str | None, what: str) -> ChangedError:
    """The error to raise for the model of ``recipe``, to which happened ``what`` during a run."""
    named = f" (sha256 {sha256[:12]})" if sha256 else ""
    return ChangedError(
        f"the model {recipe.name} in the cache is not the one that this run was planned with{named}: "
        f"it was {what} during the run; run again"
    )


def check_unchanged(what: str, now: Path, then: Path) -> None:
    """Raise ModelError unless what the user's files say now is what ``then`` was named for.

    What came of them is kept there.
    """
    if now != then:
        raise ChangedError(f"{what}: its files changed while they were read; run again")


def content_in(folder: Path, recipe: Recipe, backbone: bytes) -> str:
    """Content hash of ``recipe``'s model of ``folder``'s files, on a backbone of weights ``backbone``."""
    own = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return content_of_model(recipe, digests({**of_backbone({WEIGHTS: backbone}), **own}), own.get(CONFIG))
