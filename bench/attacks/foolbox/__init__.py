"""Foolbox: what it carries out. Its translation imports it, this does not."""

from bench.attacks.library import AttackLibrary, Carried, each

LIBRARY = AttackLibrary(
    name="foolbox",
    title="Foolbox",
    distributions=("foolbox", "eagerpy"),
    modules=("foolbox", "eagerpy"),
    translation="bench.attacks.foolbox.translation",
    install="pip install foolbox",
    is_default=True,
    attacks={
        **each("fgsm", "linf", fidelity="exact"),
        **each("fgsm", "l2", fidelity="statistical"),
        **each("fgsm", "l1", fidelity="related", note="changes all values a step; fmn in l1 is far stronger"),
        **each("bim", "linf", fidelity="exact"),
        **each("bim", "l2", fidelity="statistical"),
        **each("mi-fgsm", "linf", fidelity="exact"),
        **each("mi-fgsm", "l2", fidelity="statistical"),
        **each("pgd", "linf", fidelity="exact"),
        **each("pgd", "l2", fidelity="statistical"),
        **each("pgd", "l1", fidelity="related", note="changes all values a step; fmn in l1 is far stronger"),
        **each("deepfool", "l2", "linf", fidelity="statistical"),
        "cw/l2": Carried("statistical"),
        "ead/l1": Carried("related", "where it fools, it goes on along the distance's gradient"),
        "ddn/l2": Carried("statistical"),
        **each("fmn", "linf", "l2", "l1", "l0", fidelity="statistical"),
        **each("brendel-bethge", "linf", "l2", "l1", "l0", fidelity="statistical"),
        "boundary/l2": Carried("related", "adapts its step sizes from a running share of successes"),
        **each("hopskipjump", "l2", "linf", fidelity="statistical"),
        "salt-and-pepper/l2": Carried("statistical"),
        **each("noise", "linf", "l2", fidelity="statistical"),
        "spatial/spatial": Carried("related", "each library interpolates pixels in its own way"),
    },
    left_out={"newtonfool/l2": "squares its norms and divides by zero"},
)
