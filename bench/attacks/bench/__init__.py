"""What no library has and defences need: carried out here."""

from bench.attacks.library import AttackLibrary, each

LIBRARY = AttackLibrary(
    name="bench",
    title="this project",
    distributions=("torch",),
    modules=(),
    translation="bench.attacks.bench.translation",
    install="pip install torch",
    attacks={**each("arc", "linf", "l2", fidelity="related", note="no other library has it")},
)
