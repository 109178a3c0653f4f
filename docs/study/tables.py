"""Numbers of published runs as Markdown: every one with its interval."""

import math
from collections.abc import Iterable, Sequence

from bench.eps import eps_text
from bench.scoring.rescored import Share
from bench.text import MARKS, NONE, interval, number, points, share, short_p, signed
from docs.study.found import Difference, Found

WOULD = "would have been seen"
CLEAN = {"baseline": 0.90, "lora-fc": 0.96, "lora-fc-conv1": 0.98}
"""The study's Table 1: clean accuracy of full fine-tuning, LoRA-FC and LoRA-FC+Conv1, without intervals."""
FGSM = {"baseline": 0.65}
"""The study's attack success rate under FGSM, about this; no more of it is known here."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of which the first column is text and the rest numbers."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, marks, *rows)]


def percent(found: Share | None) -> str:
    """93.3 [90.1, 95.6]: a share in percent with its interval."""
    return NONE if found is None else f"{share(found.value)} [{share(found.low)}, {share(found.high)}]"


def certain(found: Share) -> str:
    """0.911 [0.890, 0.929]."""
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def what_was_run(found: Found) -> str:
    """What the numbers of ``found`` rest on, in a paragraph."""
    run, models = found.published, found.scored.models
    data = "" if run.data is None else f" of {len(run.data.classes)} classes at {run.data.size} pixels"
    trained = (
        f"each model trained {found.seeds} times"
        if found.seeds > 1
        else "each model trained once: samples alone vary"
    )
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(run.crosschecks.items()))
    failed = [m.model for m in models if m.trust == "fail"]
    trust = f"the trust checks fail {', '.join(failed)}" if failed else "no trust check fails"
    codes = sorted({str(o["code"])[:7] for o in run.origins if o.get("code")})
    code = f" Computed by code {' and '.join(codes)}." if codes else ""
    state = (
        "" if run.status == "complete" else f" The run is {run.status}: what has not finished is left out."
    )
    return (
        f"`suites/{found.name}.yaml`: {run.samples} samples{data}, {trained}, headline eps"
        f" {eps_text(run.headline_eps)}; {math.ceil(run.seconds / 60)} minutes of attacks. Foolbox and ART on"
        f" each question: {verdicts}; {trust}.{code}{state}"
    )


def models_table(found: Found, *, beside_the_study: bool = False) -> list[str]:
    """Each model: size, accuracy, certainty, ASR at the headline eps, worst-case robust accuracy.

    ASR is that of each attack that every model met: what is aimed at a defence is in the worst case alone.
    """
    rates = {(r.model, r.attack): r for r in found.scored.rates if r.eps == found.scored.headline_eps}
    names = [m.model for m in found.scored.models]
    attacks = [a for a in dict.fromkeys(a for _, a in rates) if all((name, a) in rates for name in names)]
    study = ["the study: clean, %", "FGSM, %"] if beside_the_study else []
    head = [
        "model",
        "trained, %",
        *study,
        "clean, % [95 %]",
        "certainty",
        *(f"ASR {a}, %" for a in attacks),
        "robust, %",
    ]
    rows = []
    for m in found.scored.models:
        known = (
            [_known(CLEAN.get(m.model), ""), _known(FGSM.get(m.model), "about ")] if beside_the_study else []
        )
        asr = [percent(rates[m.model, a].asr) for a in attacks]
        size = f"{100 * m.trainable_parameters / m.parameters:.3g}"
        rows.append(
            [
                m.model,
                size,
                *known,
                percent(m.accuracy),
                certain(m.certainty),
                *asr,
                percent(m.worst_case) + MARKS[m.trust],
            ]
        )
    return table(head, rows)


def _known(value: float | None, about: str) -> str:
    return NONE if value is None else f"{about}{100 * value:.0f}"


def answers_table(asked: Iterable[Difference]) -> list[str]:
    """Questions with their answers, each with the difference that it follows from."""
    return table(
        ["question", "answer", "difference [95 %]", "p (Holm)", WOULD],
        [[d.question, f"**{d.answer}**", numbers(d), short_p(d.p_adjusted), seen(d)] for d in asked],
    )


def numbers(d: Difference) -> str:
    """-34.6 points [-42.6, -26.6]."""
    if d.quantity == "certainty":
        return f"{signed(d.difference)} {interval(d.low, d.high, signed)}"
    return f"{points(d.difference)} points {interval(d.low, d.high)}"


def seen(d: Difference) -> str:
    """The difference that would have been found with a probability of 0.8."""
    if math.isnan(d.detectable):
        return "none"
    return (
        signed(d.detectable).lstrip("+")
        if d.quantity == "certainty"
        else f"{points(d.detectable).lstrip('+')} points"
    )


def span_seen(found: Iterable[Difference]) -> str:
    """What would have been found with a probability of 0.8: of most of them less, of some more."""
    known = [d for d in found if not math.isnan(d.detectable)]
    if not known:
        return "no difference"
    least, most = (seen(by(known, key=lambda d: d.detectable)) for by in (min, max))
    if least == most:
        return f"a difference of {most}"
    return f"differences of {least.removesuffix(' points')} to {most}"


def in_brief(d: Difference) -> str:
    """Less robust (-34.6 points [-42.6, -26.6]); if not shown, what would have been."""
    if d.shown:
        return f"{d.adjective} ({numbers(d)})"
    return f"no difference in {d.quantity} shown{d.corrected} ({numbers(d)}{_would(d)})"


def in_words(d: Difference) -> str:
    """Less robust than baseline (-34.6 points [-42.6, -26.6]); if not shown, what would have been."""
    if d.shown:
        return f"{d.model} is {d.verdict} than {d.baseline} ({numbers(d)})"
    return f"{d.model} against {d.baseline}: {d.verdict} ({numbers(d)}{_would(d)})"


def _would(d: Difference) -> str:
    return "" if math.isnan(d.detectable) else f"; {seen(d)} would have been seen"
