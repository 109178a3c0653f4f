"""What there is to use: the tables behind ``bench list``."""

from collections.abc import Callable, Mapping

from adapters.defences.base import Defence
from adapters.defences.registry import DEFENCES
from bench.attacks.contract import CONTRACTS
from bench.attacks.library import FIDELITIES
from bench.attacks.registry import having, version_of
from bench.attacks.registry import libraries as registered
from bench.render.plain import Listing, Value
from bench.suite.models import ModelSpec, SuiteBackbone
from bench.suite.suite import Suite, load_suite, shipped_suites


def attacks() -> Listing:
    """The attack contract, by what attacks see and whether their budget is fixed.

    Norms that share an entry stand together.
    """
    found: dict[tuple[str, ...], tuple[dict[str, Value], list[str]]] = {}
    for key, c in CONTRACTS.items():
        name, norm = key.split("/")
        carriers, pairing = _carried(key)
        row = {
            "access": c.access,
            "budget": "fixed budget" if c.budget == "fixed" else c.budget,
            "attack": name,
        }
        rest: dict[str, Value] = {"libraries": carriers, "pairing": pairing, "cost": c.cost}
        _, norms = found.setdefault(
            (*row.values(), *carriers, pairing, c.cost), ({**row, "norm": (), **rest}, [])
        )
        norms.append(norm)
    rows = [{**row, "norm": tuple(norms)} for row, norms in found.values()]
    order = list(dict.fromkeys((row["access"], row["budget"]) for row in rows))
    rows.sort(key=lambda row: order.index((row["access"], row["budget"])))
    return Listing("attacks", "attacks", rows, _notes(), above=("access", "budget"))


def _carried(key: str) -> tuple[tuple[str, ...], str]:
    """The libraries that carry out the attack at ``key``, and how far they agree.

    The two most faithful come first, then others.
    """
    levels = {name: registered()[name].attacks[key].fidelity for name in having(key)}
    if not levels:
        return ("an ensemble",), "single"
    if len(levels) == 1:
        return tuple(levels), "single"
    ranked = [FIDELITIES.index(level) for level in levels.values()]
    shared = sorted(ranked)[-2]
    looser = [
        f"{name} {level}" for (name, level), rank in zip(levels.items(), ranked, strict=True) if rank < shared
    ]
    return tuple(levels), "; ".join([FIDELITIES[shared], *looser])


def _notes() -> list[str]:
    """What the libraries say of their attacks, and why others are left out.

    Each note has the attacks and norms that it is about.
    """
    found: list[str] = []
    for made in registered().values():
        found += _said(
            {key: carried.note for key, carried in made.attacks.items() if carried.note}, made.title
        )
        found += _said(made.left_out, f"not through {made.title}")
    return found


def _said(notes: Mapping[str, str], whose: str) -> list[str]:
    """One line a note: of whom, about which attacks."""
    about: dict[str, dict[str, list[str]]] = {}
    for key, note in notes.items():
        name, norm = key.split("/")
        about.setdefault(note, {}).setdefault(name, []).append(norm)
    subjects = (
        ", ".join(f"{name} {' '.join(norms)}" for name, norms in each.items()) for each in about.values()
    )
    return [f"{whose}, {subject}: {note}" for subject, note in zip(subjects, about, strict=True)]


def libraries() -> Listing:
    """The attack libraries, their versions, and how many attacks each carries out."""
    rows: list[Mapping[str, Value]] = [
        {
            "library": name,
            "what": made.title,
            "version": f"{made.distributions[0]} {version_of(name)}",
            "attacks": len({key.split("/")[0] for key in made.attacks}),
            "default": made.is_default,
        }
        for name, made in registered().items()
    ]
    return Listing("libraries", "libraries (default: in suites that name none)", rows)


def models() -> Listing:
    """The models that the shipped suites declare."""
    columns = ("suite", "model", "backbone", "adaptation")
    rows = [
        dict(zip(columns, (suite.name, model.name, *_made_of(suite, model)), strict=True))
        for suite in map(load_suite, shipped_suites())
        for model in suite.models
    ]
    return Listing("models", "models of the shipped suites", rows)


def _made_of(suite: Suite, model: ModelSpec) -> tuple[str, str]:
    """Its backbone and adaptation; of a defended model, those whose weights it has, and its defences."""
    if model.stack:
        return f"of {', '.join(model.of)}", model.stack.label
    return _backbone(suite.backbone_of(model)), model.adaptation.method


def defences() -> Listing:
    """The defences, each with what it may be told."""
    rows: list[Mapping[str, Value]] = [
        {
            "defence": name,
            "what it does": _does(kind),
            "random": kind.random,
            "parameters": tuple(field for field in kind.model_fields if field != "defence"),
        }
        for name, kind in DEFENCES.items()
    ]
    return Listing("defences", "defences", rows)


def _does(kind: type[Defence]) -> str:
    """The first sentence of its description, in plain text."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].replace("``", "").split())


def _backbone(backbone: SuiteBackbone) -> str:
    origin = backbone.weights or ("trained here" if backbone.pretrain else "random")
    return f"{backbone.architecture}, {origin}"


def data() -> Listing:
    """The data sets. The data root is --data-root, or $BENCH_DATA, or the cache folder."""
    columns = ("source", "images", "classes", "where")
    rows = [
        ("digits", "1,797", "10", "bundled with scikit-learn"),
        ("imagenet-samples", "20, no training images", "1,000", "bundled with Foolbox"),
        (
            "tiny-imagenet",
            "100,000 + 10,000",
            "200",
            "tiny-imagenet-200/ in the official layout; downloaded if missing",
        ),
        (
            "cifar10",
            "50,000 + 10,000",
            "10",
            "cifar10/{train,test}/CLASS/, or torchvision's archive; downloaded if missing",
        ),
        (
            "cifar100",
            "50,000 + 10,000",
            "100",
            "cifar100/{train,test}/CLASS/, or torchvision's archive; downloaded if missing",
        ),
        (
            "imagefolder",
            "yours",
            "yours",
            "PATH/{train,test,val}/CLASS/, or PATH/CLASS/ (halved to train on)",
        ),
    ]
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    return Listing("data", "data (where: under the data root)", named)


def suites() -> Listing:
    """The shipped suites."""
    rows = [
        {"suite": suite.name, "what it asks": suite.description.strip()}
        for suite in map(load_suite, shipped_suites())
    ]
    return Listing("suites", "suites", rows)


CATALOGUE: dict[str, Callable[[], Listing]] = {
    "attacks": attacks, "data": data, "defences": defences, "libraries": libraries, "models": models,
    "suites": suites,
}  # fmt: skip
