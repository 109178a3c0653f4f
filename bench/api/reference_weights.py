"""Weights beside a reference: a run that takes them compares attacks; one that trains anew, trainings too.

``results/reference/<suite>.weights/`` is a model cache like any other, of the models of one suite alone:
safetensors and cards, each folder with its checksums. A run never works in it, but in a copy.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from adapters.cache.folders import SUMS, alone, is_sound, new_folder
from adapters.cache.source import ModelSource
from adapters.cache.zoo import Zoo
from adapters.files.names import CODE
from bench.comparison.snapshot import Snapshot, from_file
from bench.engine.job import Job, default_cache, default_places, make_job
from bench.errors import NotComparableError, UserError
from bench.store import FOLDER, RunHeader, reference_file, weights_folder
from bench.suite.permission import permitted
from bench.suite.suite import Suite

log = logging.getLogger(__name__)

AGAIN = "run without it, then `bench reference update RUN --with-weights`"


def reference_of(name: str, results: Path, suite: str) -> Path:
    """The reference file that ``name`` means: a path, or "reference" for that of ``suite`` in ``results``.

    Raises NotComparableError if it has no weights.
    """
    file = reference_file(results, suite) if name == "reference" else Path(name)
    if not weights_folder(file).is_dir():
        raise NotComparableError(f"{file} keeps no weights ({weights_folder(file)} is missing); {AGAIN}")
    return file


def fill(file: Path, cache: Path) -> Path:
    """A model cache inside ``cache`` with a copy of the weights of the reference ``file``.

    Raises NotComparableError if they are damaged. There is one cache for each content.
    """
    folders = list(_folders(weights_folder(file)))
    digest = hashlib.sha256(
        b"".join(f"{name}\n".encode() + _sums(folder) for name, folder in folders)
    ).hexdigest()
    copy = cache / "references" / digest[:32]
    for name, folder in folders:
        with alone(copy / name, f"a copy of {file}'s weights"):
            if not (copy / name).is_dir() or not is_sound(copy / name):
                _copy(folder, copy / name)
    return copy


def _folders(weights: Path) -> Iterator[tuple[str, Path]]:
    """Each folder of a backbone or a model, by its name below ``weights``."""
    for folder in sorted([*weights.glob("backbones/*"), *weights.glob("models/*")]):
        if folder.is_dir():
            yield f"{folder.parent.name}/{folder.name}", folder


def _sums(folder: Path) -> bytes:
    try:
        return (folder / SUMS).read_bytes()
    except OSError as error:
        raise NotComparableError(f"{folder}: damaged ({error}); restore it from version control") from None


def _copy(folder: Path, target: Path) -> None:
    if not is_sound(folder):
        raise NotComparableError(f"{folder}: damaged; restore it from version control")
    with new_folder(target) as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        (copy / SUMS).unlink()  # written anew, of the same files


def check(job: Job, zoo: ModelSource, file: Path) -> None:
    """Raise NotComparableError unless ``zoo`` has the very models of the reference ``file``.

    It must have them for every recipe of ``job``.
    """
    expected = {m.id: m.sha256 for m in from_file(file).header.models}
    for model, recipe in job.recipes.items():
        card = zoo.card(recipe)
        if card is None:
            raise NotComparableError(
                f"{weights_folder(file)} has no weights of {recipe.name}, as it is declared now; {AGAIN}"
            )
        if expected.get(model, card.sha256) != card.sha256:
            raise NotComparableError(
                f"{weights_folder(file)} has weights of {recipe.name} that are not the reference's; {AGAIN}"
            )
    log.info("weights of %s: nothing is trained", file)


def check_weights(snapshot: Snapshot, results: Path) -> None:
    """Raise UserError if other weights than ``snapshot``'s lie beside the reference of its suite."""
    weights = weights_folder(reference_file(results, snapshot.header.suite_name))
    if weights.is_dir() and not _holds(weights, snapshot.header):
        raise UserError(f"{weights} has weights of another run; give --with-weights, or remove it")


def _holds(weights: Path, header: RunHeader) -> bool:
    """Whether ``weights`` has every file of the models of ``header``."""
    known = {hashlib.sha256(file.read_bytes()).hexdigest() for file in weights.rglob("*") if file.is_file()}
    own = (
        digest for model in header.models for name, digest in model.files.items() if not name.startswith(CODE)
    )
    return all(digest in known for digest in own)


def keep(header: RunHeader, results: Path, limit: float, *, allow_code: bool = False) -> Path:
    """Keep the weights of the run of ``header`` beside its suite's reference, and return their folder.

    Raises UserError if they are more than ``limit`` MB, or not in the cache any more.
    """
    target = weights_folder(reference_file(results, header.suite_name))
    if _holds(target, header):
        return target
    near = Path(str(header.provenance.get(FOLDER, ""))), Path()
    permission = permitted(allow_code=allow_code)
    job = make_job(
        Suite.model_validate(header.suite), default_places(None, default_cache(), near), permission
    )
    zoo, folders = Zoo(default_cache(), lambda _: lambda *_: None), dict[str, Path]()
    planned = {m.id: m.sha256 for m in header.models}
    for model, recipe in job.recipes.items():
        card = zoo.card(recipe)
        if card is None or card.sha256 != planned.get(model):
            raise UserError(
                f"{header.run_id}: the cache has no weights of {recipe.name} as they were attacked; run again"
            )
        for folder in (zoo.backbone_folder(recipe.backbone), zoo.folder(recipe)):
            folders[f"{folder.parent.name}/{folder.name}"] = folder
    size = (
        sum(
            file.stat().st_size for folder in folders.values() for file in folder.rglob("*") if file.is_file()
        )
        / 1e6
    )
    if size > limit:
        raise UserError(
            f"the weights of {header.run_id} are {size:.1f} MB, more than {limit:g}; give --limit-mb to keep"
            " them"
        )
    shutil.rmtree(target, ignore_errors=True)
    for name, folder in folders.items():
        _copy(folder, target / name)
    return target
