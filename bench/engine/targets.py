"""Which layers the targets of adaptations stand for, found on networks that nothing has trained."""

from adapters.errors import within
from adapters.methods.registry import method_of
from bench.engine.job import Job
from bench.engine.summaries import Layers


def layers_meant(job: Job) -> Layers:
    """The layers that the models of ``job`` put adapters on, where their targets do not simply name them.

    Raises SuiteError for a target that is not a layer.
    """
    from adapters.backbones.networks import build_backbone

    found: Layers = {}
    networks = {}
    for model, recipe in job.recipes.items():
        spec, targets = recipe.backbone.spec, getattr(recipe.adaptation, "targets", None)
        if targets is None or model.seed != job.suite.seeds[0]:
            continue
        name = spec.model_dump_json()
        with job.asking_for(model), within("adaptation"):
            if name not in networks:
                networks[name] = build_backbone(spec, len(job.samples.classes), 0)
            layers = method_of(recipe.adaptation).layers(networks[name], recipe.adaptation)
        if layers != targets:
            found[model.name] = layers
    return found
