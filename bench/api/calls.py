"""The calls of the Python API. The command line makes the same ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.api.arrays import as_samples
from bench.api.result import Result

if TYPE_CHECKING:
    from torch import nn

    from bench.comparison.verdict import Verdict


def run(
    suite: str | Path | Mapping[str, Any],
    *,
    results: str | Path = "results",
    only: str = "*",
    shard: tuple[int, int] = (1, 1),
    device: str = "auto",
    executor: Literal["local", "ray"] = "local",
    workers: int | None = None,
    data_root: str | Path | None = None,
    fresh: bool = False,
    save_adversarials: bool = False,
    allow_code: bool = False,
) -> Result:
    """Bring the run of ``suite`` to its end, as ``bench run`` does, and return it.

    Args:
        suite: A suite's YAML file, the name of a shipped one, or the same declaration as a mapping.
        results: Where runs are stored; what is finished there already is not computed again, unless
            ``fresh``.
        only: Only the units that match, as "model/seed/attack/library" with wildcards.
        shard: (i, n): only the i-th of n parts of the units, from 1.
        device: "auto", "cpu", "cuda" or "cuda:N".
        executor: "local", or "ray" for the Ray cluster at $RAY_ADDRESS.
        workers: The number of worker processes, of one thread each; by default as many as cores are free. No
            result depends on it.
        data_root: Where data sets lie; by default $BENCH_DATA, or the cache folder.
        fresh: Recompute every cell.
        save_adversarials: Store the adversarial images too.
        allow_code: Run the code that the suite names as its architectures (my_package.models:build); your own
            settings may allow it too. Otherwise such a suite is refused.

    Returns:
        The stored run. ``Result.is_complete`` says whether every cell has numbers.

    Raises:
        UserError: Something in the suite, the data or the models cannot be used; the message names it, and
            the fix.

    >>> suite = {
    ...     "name": "tiny",
    ...     "backbone": {"architecture": "timm/test_resnet"},
    ...     "data": {"source": "digits", "classes": [0, 1], "samples": 12, "train_per_class": 10},
    ...     "training": {"epochs": 1},
    ...     "models": [
    ...         {"name": "full"},
    ...         {"name": "lora", "adaptation": {"method": "lora", "targets": ["fc"]}},
    ...     ],
    ...     "attacks": [{"attack": "fgsm"}],
    ...     "eps": ["8/255"],
    ...     "trust": "off",
    ... }
    >>> result = bench.run(suite, results="results")
    >>> result.is_complete, len(result.cells)  # two models through two libraries
    (True, 4)

    """
    from bench.api.asked import run_asked
    from bench.engine.options import Options
    from bench.suite.permission import permitted

    how = Options(
        Path(results),
        device,
        only,
        shard,
        fresh,
        save_adversarials,
        data_root=None if data_root is None else Path(data_root),
        executor=executor,
        permission=permitted(allow_code=allow_code),
        workers=workers,
    )
    path, _ = run_asked(suite, how)
    return Result(path)


def evaluate(
    model: "nn.Module | Mapping[str, nn.Module]",
    images: Any,
    labels: Any = None,
    *,
    defended: Mapping[str, Mapping[str, Any]] | None = None,
    attacks: Sequence[str | Mapping[str, Any]] = ("fgsm", "pgd"),
    eps: Sequence[str | float] = ("2/255", "4/255", "8/255"),
    headline_eps: str | float | None = None,
    libraries: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    trust: Literal["off", "fast", "full"] = "fast",
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    name: str = "evaluate",
    results: str | Path | None = None,
    workers: int | None = None,
) -> Result:
    """Attack a model, or several side by side, on given images, through every library, as a suite does.

    Args:
        model: Any torch.nn.Module that gives N x classes logits, or several by name: the first is the
            baseline. For two classes, N x 1 or N is the logit of the second. They are copied; yours stay as
            they are.
        images: N x C x H x W, floats in [0, 1] or uint8: an array or a tensor. Or a DataLoader of (images,
            labels).
        labels: N class numbers, from 0. Left out where ``images`` is a DataLoader.
        defended: Models with defences around those in ``model``, by name, each as a suite declares it: ``of``
            which models (one that is given without a name is "model"), and its ``defences``. Each is attacked
            naively and adaptively.
        attacks: Names of attacks (``bench list attacks``), or mappings with their parameters, as in a suite.
        eps: Budgets on the [0, 1] scale, as fractions ("8/255") or numbers.
        headline_eps: The eps at which models are ranked; by default the middle one.
        libraries: Some of ``bench list libraries``; by default those that suites use.
        classes: Names of the classes in the order of the labels; by default their numbers.
        mean: Per channel, subtracted from images in [0, 1] inside the model. Leave it out if the model
            normalises itself.
        std: Per channel; what is left after ``mean`` is divided by it.
        trust: How far the cells are checked for attacks that fail silently.
        seed: Seeds everything that the attacks draw at random.
        batch_size: Samples attacked at once; by default what suits the machine. No result depends on it.
        device: "auto", "cpu", "cuda" or "cuda:N".
        name: The run's name.
        results: Where the run is stored; by default in a temporary folder that goes when Python ends. Every
            cell is recomputed.
        workers: The number of worker processes, of one thread each; by default as many as cores are free. No
            result depends on it.

    Returns:
        The stored run.

    Raises:
        UserError: The images, labels, attacks or models cannot be used; the message says what is wrong and
            the fix.

    >>> import torch
    >>> images = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> labels = torch.arange(8) % 2
    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    >>> result = bench.evaluate(network, images, labels, attacks=["fgsm"], eps=["8/255"], trust="off")
    >>> result.cells["library"].nunique()
    2

    """
    from bench.api.evaluating import Question, evaluate_models

    models = dict(model) if isinstance(model, Mapping) else {"model": model}
    samples = as_samples(images, labels, classes)
    through = None if libraries is None else tuple(libraries)
    question = Question(
        name, tuple(attacks), tuple(eps), headline_eps, through, trust, seed, batch_size, defended or {}
    )
    return Result(evaluate_models(question, models, samples, mean, std, device, results, workers))


def load(path: str | Path, *, results: str | Path = "results") -> Result:
    """The run that ``path`` means: its folder, a folder of runs (the newest in it), its id, or "latest".

    Args:
        path: The run.
        results: Where runs are stored: an id, and "latest", are looked for there.

    Returns:
        The stored run. Nothing is computed again.

    Raises:
        UserError: There is no such run, or it cannot be read: it is broken, or of a newer version.

    After the example of ``run``:

    >>> bench.load("latest").path == bench.load("results/tiny").path == result.path
    True
    >>> bench.load("latest").leaderboard["model"].nunique()
    2

    """
    from bench.comparison.runs import find_stored

    stored = find_stored(str(path), Path(results))
    return Result(stored.path, stored)


def compare(
    before: Result | str | Path,
    after: Result | str | Path,
    *,
    gate: bool = False,
    results: str | Path = "results",
) -> "Verdict":
    """What changed from ``before`` to ``after``, cell by cell on shared samples, by exact paired tests.

    Args:
        before: A result, or what ``bench compare`` takes: a run's folder or id, "latest", "reference", a
            reference file.
        after: The same.
        gate: Judge by the gate of ``before``: ``exit_code`` is 3 if a change is beyond it, 4 if cells are
            missing.
        results: Where runs are stored.

    Returns:
        The verdict: ``rows``, ``missing``, ``errors``, and the ``exit_code`` of the command line.

    Raises:
        UserError: One of them is not there, cannot be read, or was run on other samples.

    After the example of ``run``:

    >>> again = bench.run(suite, results="results", fresh=True)
    >>> verdict = bench.compare(result, again, gate=True)
    >>> int(verdict.exit_code), sum(row.gained + row.lost for row in verdict.rows)
    (0, 0)

    """
    from bench.comparison.compare import compare as compare_snapshots
    from bench.comparison.runs import find_pair

    first, second = (str(run.path) if isinstance(run, Result) else str(run) for run in (before, after))
    old, new = find_pair(first, second, Path(results))
    return compare_snapshots(old, new, gated=gate)
