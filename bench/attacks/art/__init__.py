"""ART, the Adversarial Robustness Toolbox: what it carries out. Its translation imports it, this does not."""

from bench.attacks.art.settings import settle
from bench.attacks.library import AttackLibrary, Carried, each

settle()

WEAK_L1 = (
    "weak: steps along all values and scales back, where APGD in l1 (Croce and Hein 2021) takes sparse steps"
    " and projects onto ball and box together; use fmn in l1"
)

LIBRARY = AttackLibrary(
    name="art",
    title="ART",
    distributions=("adversarial-robustness-toolbox",),
    modules=("art",),
    translation="bench.attacks.art.translation",
    install="pip install adversarial-robustness-toolbox",
    is_default=True,
    attacks={
        **each("fgsm", "linf", fidelity="exact"),
        **each("fgsm", "l2", fidelity="statistical"),
        **each(
            "fgsm",
            "l1",
            fidelity="related",
            note="changes one value a step, and stalls where that meets the box",
        ),
        **each("bim", "linf", fidelity="exact"),
        **each("bim", "l2", fidelity="statistical"),
        **each("mi-fgsm", "linf", fidelity="exact"),
        **each("mi-fgsm", "l2", fidelity="statistical"),
        **each("pgd", "linf", fidelity="exact"),
        **each("pgd", "l2", fidelity="statistical"),
        **each(
            "pgd",
            "l1",
            fidelity="related",
            note="changes one value a step, and stalls where that meets the box",
        ),
        **each("apgd", "linf", "l2", fidelity="statistical"),
        "apgd/l1": Carried("related", WEAK_L1),
        "deepfool/l2": Carried("statistical"),
        "cw/l2": Carried("related", "adds a line search"),
        "cw/linf": Carried("statistical"),
        "ead/l1": Carried("related", "where it fools, it only shrinks the change"),
        "newtonfool/l2": Carried("statistical"),
        "boundary/l2": Carried("related", "adapts its step sizes after 10 proposals"),
        **each("hopskipjump", "l2", "linf", fidelity="statistical"),
        **each("geoda", "l2", "linf", fidelity="statistical"),
        "zoo/l2": Carried("statistical"),
        "square/linf": Carried("statistical"),
        "square/l2": Carried(
            "related", "divides a new square by the length that Andriushchenko et al. multiply it by: weaker"
        ),
        "simba/l2": Carried("statistical"),
        "spatial/spatial": Carried("related", "each library interpolates pixels in its own way"),
    },
    left_out={f"brendel-bethge/{norm}": "mixes up a batch" for norm in ("linf", "l2", "l1", "l0")},
)
