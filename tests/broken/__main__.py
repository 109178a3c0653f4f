"""A table of all masked and honest models: how overstated each is, its grade, and the checks that say so."""

import argparse
import copy
from fractions import Fraction

import torch

from tests.broken.honest import HONEST, honest
from tests.broken.judge import Setting, judge, overstated
from tests.broken.masked import MASKED
from tests.broken.zoo import classifier, shapes, trained


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--headline", type=int, default=12)
    parser.add_argument("--only", default="")
    parser.add_argument("--samples", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--kind", choices=["masked", "honest", "both"], default="both")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    samples, setting = shapes(asked.samples), Setting(headline=Fraction(asked.headline, 255))
    rows = []
    if asked.kind != "honest":
        for seed in asked.seeds:
            rows += [
                (f"{name} {seed}", classifier(m.build(trained(seed))), [classifier(trained(seed))])
                for name, m in MASKED.items()
            ]
    if asked.kind != "masked":
        rows += [(name, classifier(honest(name)), []) for name in HONEST]
    for name, model, fair in rows:
        if asked.only not in name:
            continue
        torch.manual_seed(0)
        fresh = copy.deepcopy(model)
        judged = judge(model, samples, setting)
        over = 100 * overstated(judged, fresh, fair, samples, setting.headline)
        n = len(samples)
        robust = 100 * int((judged.correct & ~judged.broken).sum()) / n
        bad = over > 7 and judged.supporting.grade in ("pass", "unchecked")
        wrong = not fair and judged.supporting.grade == "fail"
        said = ", ".join(f"{c}{'' if g == 'fail' else '!'}" for c, g in judged.flagged().items())
        numbers = f"clean {100 * judged.correct.mean():5.1f} robust {robust:5.1f} over {over:5.1f}"
        mark = "##" if bad or wrong else "  "
        print(
            f"{mark} {name:34} {numbers} {judged.supporting.grade:9} cost {judged.cost:4.0%}  {said}",
            flush=True,
        )


if __name__ == "__main__":
    main()
