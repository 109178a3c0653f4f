"""torchattacks: what it carries out. Its translation imports it, this does not."""

from bench.attacks.library import AttackLibrary, each

LIBRARY = AttackLibrary(
    name="torchattacks",
    title="torchattacks",
    distributions=("torchattacks",),
    modules=("torchattacks",),
    translation="bench.attacks.torchattacks.translation",
    # It asks for a version of requests that nothing else wants any more.
    install="pip install --no-deps torchattacks",
    attacks={
        **each("fgsm", "linf", fidelity="exact"),
        **each("fgsm", "l2", fidelity="statistical"),
        **each("bim", "linf", fidelity="exact"),
        **each("bim", "l2", fidelity="statistical"),
        **each("pgd", "linf", fidelity="exact"),
        **each("pgd", "l2", fidelity="statistical"),
        **each("square", "linf", "l2", fidelity="statistical"),
    },
    left_out={
        "apgd/linf": "draws its starts by position, and gives failed samples back unchanged",
        "apgd/l2": "draws its starts by position, and gives failed samples back unchanged",
        "deepfool/l2": "calls the model one image at a time",
        "cw/l2": "searches for no weight, and stops for all samples once their summed cost rises",
    },
)
