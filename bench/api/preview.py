"""What a run would do: its units, what is finished already, and how long the rest would take."""

from collections.abc import Sequence
from pathlib import Path

from adapters.cache.recipe import Recipe
from adapters.cache.zoo import Zoo
from adapters.spec import TrainingSpec, is_trained
from bench.api.pipeline import choose_device
from bench.attacks.cost import Cost, cost
from bench.attacks.registry import missing
from bench.attacks.spec import changes_with_eps
from bench.engine.adapting import with_defended
from bench.engine.job import Job, make_job
from bench.engine.options import Options
from bench.engine.plan import UNTRAINED, Unit, attackable, make_units
from bench.engine.probe import Probe
from bench.engine.summaries import Preview, UnitPreview
from bench.engine.targets import layers_meant
from bench.executors.cores import Load, one_thread
from bench.ids import ModelId
from bench.store import RUN_FILE, list_runs, readable_header
from bench.suite.suite import Suite


def preview(suite: Suite, options: Options) -> Preview:
    """Every unit of ``suite`` that ``options`` choose. Trains, attacks and writes nothing.

    What no earlier run tells the time of is estimated: by a gradient on a few random images through an
    untrained network, or an answer where attacks ask for no more.

    Raises SuiteError for what cannot be run, such as a target that is not a layer.
    """
    load = Load()
    job = make_job(suite, options.places, options.permission)
    zoo = Zoo(options.models, lambda _: lambda *_: None)
    found = {model: zoo.card(recipe) for model, recipe in job.recipes.items()}
    cards = with_defended(suite, {model: card or UNTRAINED for model, card in found.items()})
    units = attackable(make_units(suite, cards, job.samples.content_hash), missing)
    finished = set() if options.fresh else _finished(options.results)
    rates = _seconds_per_sample(options.results)
    chosen = options.chosen(units)
    device = choose_device(options.device)
    workers = (options.workers or load.free()) if device == "cpu" else 1
    probe = Probe(device, job.samples.input_shape, len(job.samples.classes))
    with one_thread(device):
        training = _training([recipe for model, recipe in job.recipes.items() if found[model] is None], probe)
        trained = {model: all(found[member] is not None for member in job.members(model)) for model in cards}
        shown = tuple(_preview(unit, job, trained[unit.model], finished, rates, probe) for unit in chosen)
    return Preview(shown, training, workers, layers_meant(job))


def _preview(
    unit: Unit, job: Job, trained: bool, finished: set[str], rates: dict[tuple[str, str], float], probe: Probe
) -> UnitPreview:
    cached = sum(cell.key in finished for cell in unit.cells) if trained else 0
    left, rate = len(unit.cells) - cached, rates.get((unit.attack_label, unit.library))
    seconds, probed = 0.0, left > 0 and rate is None
    if probed:
        asked = cost(unit.attack)
        once = sum(probe.seconds(job.recipes[member].backbone.spec, asked) for member in _asked(unit, job))
        seconds = once * (left if changes_with_eps(unit.attack) else 1) * len(job.samples)
    elif left and rate is not None:
        seconds = rate * left * len(job.samples)
    return UnitPreview(unit.label, len(unit.cells), cached, trained, seconds, probed)


def _asked(unit: Unit, job: Job) -> list[ModelId]:
    """The models with own weights that a gradient of ``unit`` passes through, each as often as it does."""
    if unit.source is not None:
        return job.members(unit.source)
    draws = job.suite.draws.attack if unit.way is not None and unit.draws else 1
    return job.members(unit.model) * draws


def _training(recipes: Sequence[Recipe], probe: Probe) -> float:
    """About how many seconds it takes to train the models of ``recipes``, and first what they share."""
    own = [(r.backbone.spec, r.training, r.images) for r in recipes if is_trained(r.adaptation)]
    shared = {id(r.backbone.pretraining): (r.backbone.spec, r.backbone.pretraining) for r in recipes}
    own += [(spec, before.training, before.images) for spec, before in shared.values() if before is not None]
    return sum(
        probe.seconds(spec, Cost(training.epochs * _passes_of(training))) * len(images)
        for spec, training, images in own
    )


def _passes_of(training: TrainingSpec) -> int:
    """About how many gradients an epoch of ``training`` takes for one image.

    One, and one for each step of an adversary.
    """
    return 1 if training.adversarial is None else 1 + training.adversarial.steps


def _finished(results: Path) -> set[str]:
    return {file.stem for file in results.glob("*/*/cells/*.parquet")}


def _seconds_per_sample(results: Path) -> dict[tuple[str, str], float]:
    """What a cell of (attack, library) took per sample in the newest run that has one."""
    rates: dict[tuple[str, str], float] = {}
    for path in list_runs(results):
        header = readable_header(path / RUN_FILE)
        if header is None:
            continue
        for cell in header.cells:
            if cell.seconds is not None and (cell.attack, cell.library) not in rates:
                rates[cell.attack, cell.library] = cell.seconds / header.samples
    return rates
