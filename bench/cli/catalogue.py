"""What there is to use: the tables behind ``bench list``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.defences.base import Defence
from adapters.defences.registry import DEFENCES
from bench.attacks.contract import CONTRACTS, DISTRIBUTIONS, LIBRARIES
from bench.engine.provenance import version_of
from bench.suite.models import ModelSpec, SuiteBackbone
from bench.suite.suite import Suite, load_suite, shipped_suites


@dataclass(frozen=True)
class Listing:
    """A plain table. A row with fewer texts than columns is the heading of those below it."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()
    """Said below the table."""


def attacks() -> Listing:
    """The attack contract, by what attacks see and whether their budget is fixed; norms that share an entry stand together."""
    norms: dict[tuple[tuple[str, str], tuple[str, ...]], list[str]] = {}
    for key, c in CONTRACTS.items():
        name, norm = key.split("/")
        library = "both" if len(c.libraries) > 1 else c.libraries[0]
        budget = "fixed budget" if c.budget == "fixed" else c.budget
        norms.setdefault(((c.access, budget), (name, library, c.pairing, c.cost)), []).append(norm)
    rows: list[tuple[str, ...]] = []
    for heading in dict.fromkeys(heading for heading, _ in norms):
        rows.append(heading)
        rows += [(name, " ".join(n), *rest) for (above, (name, *rest)), n in norms.items() if above == heading]
    return Listing("attacks", ("attack", "norm", "library", "pairing", "cost"), rows, _notes())


def _notes() -> list[str]:
    """The contract's notes, each with the attacks and norms that it is about."""
    about: dict[str, dict[str, list[str]]] = {}
    for key, contract in CONTRACTS.items():
        name, norm = key.split("/")
        if contract.note:
            about.setdefault(contract.note, {}).setdefault(name, []).append(norm)
    subjects = (", ".join(f"{name} {' '.join(norms)}" for name, norms in each.items()) for each in about.values())
    return [f"{subject}: {note}" for subject, note in zip(subjects, about, strict=True)]


def libraries() -> Listing:
    """The attack libraries, their versions, and how many attacks each carries out."""
    rows = [
        (
            name,
            version_of(DISTRIBUTIONS[name]) or "not installed",
            str(len({key.split("/")[0] for key, c in CONTRACTS.items() if name in c.libraries})),
        )
        for name in LIBRARIES
    ]
    return Listing("libraries", ("library", "version", "attacks"), rows)


def models() -> Listing:
    """The models that the shipped suites declare."""
    rows = [
        (suite.name, model.name, *_made_of(suite, model))
        for suite in map(load_suite, shipped_suites())
        for model in suite.models
    ]
    return Listing("models of the shipped suites", ("suite", "model", "backbone", "adaptation"), rows)


def _made_of(suite: Suite, model: ModelSpec) -> tuple[str, str]:
    """Its backbone and adaptation; of a defended model, those whose weights it has, and its defences."""
    if model.stack:
        return f"of {', '.join(model.of)}", model.stack.label
    return _backbone(suite.backbone_of(model)), model.adaptation.method


def defences() -> Listing:
    """The defences, each with what it may be told."""
    rows = [
        (name, _does(kind), "random" if kind.random else "", ", ".join(f for f in kind.model_fields if f != "defence"))
        for name, kind in DEFENCES.items()
    ]
    return Listing("defences", ("defence", "what it does", "", "parameters"), rows)


def _does(kind: type[Defence]) -> str:
    """The first sentence of its description, in plain text."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].replace("``", "").split())


def _backbone(backbone: SuiteBackbone) -> str:
    origin = backbone.weights or ("trained here" if backbone.pretrain else "random")
    return f"{backbone.architecture}, {origin}"


def data() -> Listing:
    """The data sets. The data root is --data-root, or $BENCH_DATA, or the cache folder."""
    rows = [
        ("digits", "1,797", "10", "bundled with scikit-learn"),
        ("imagenet-samples", "20, no training images", "1,000", "bundled with Foolbox"),
        ("tiny-imagenet", "100,000 + 10,000", "200", "tiny-imagenet-200/ in the official layout; downloaded if missing"),
        ("cifar10", "50,000 + 10,000", "10", "cifar10/{train,test}/CLASS/, or torchvision's archive; downloaded if missing"),
        ("cifar100", "50,000 + 10,000", "100", "cifar100/{train,test}/CLASS/, or torchvision's archive; downloaded if missing"),
        ("imagefolder", "yours", "yours", "PATH/{train,test,val}/CLASS/, or PATH/CLASS/ (halved to train on)"),
    ]
    return Listing("data", ("source", "images", "classes", "where, under the data root"), rows)


def suites() -> Listing:
    """The shipped suites."""
    rows = [(suite.name, suite.description.strip()) for suite in map(load_suite, shipped_suites())]
    return Listing("suites", ("suite", "what it asks"), rows)


CATALOGUE: dict[str, Callable[[], Listing]] = {
    "attacks": attacks, "data": data, "defences": defences, "libraries": libraries, "models": models, "suites": suites
}  # fmt: skip
