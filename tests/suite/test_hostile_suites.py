"""Suites from strangers: whatever a file holds gives a Suite or an error that names it, and nothing else."""

import os
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

from bench.cli.commands import main
from bench.errors import UserError
from bench.suite.suite import load_suite, shipped_suites
from tests.builders.figures import Figure
from tests.builders.limited import ends_within
from tests.torture.tiny import SUITE

SEED = int(os.environ.get("BENCH_TORTURE_SEED", "0"))
MANY = int(os.environ.get("BENCH_TORTURE_INPUTS", "20000"))
SHIPPED = [path.read_text(encoding="utf-8") for path in shipped_suites()]
NASTY = [
    "", "~", "null", "[]", "{}", "-1", "0", "1e999", "1e999999999", ".nan", ".inf", "-.inf", "9" * 5000,
    "0x" + "f" * 4000, "1:2:3:4", "!!int x", "!!int ''", "!!bool maybe", "!!float x", "!!timestamp x",
    "!!binary '***'", "!!set {a, b}", "!!omap [a: 1]",
    "!!python/object/apply:os.system ['touch pwned']", "!!python/name:os.system", "!<tag:x,2020:y> z",
    "2020-99-99",
    "2020-01-01", "../../x", "/etc/passwd", "..", ".", "a/b", "a\\b", "'a\\0b'", "<script>alert(1)</script>",
    "'[red]x[/red]'", "'[/]'",
    '"\\e[31mred"', '"\\ud800"', "name\u202etxt", "𝒻", "| # |", "'`rm`'", "$(rm)", "{{x}}", "%s%n", "&a [*a]",
    "*missing", "<<: *x", "? [a, b] : c", "[[[[[[[[[[]]]]]]]]]]", "8/0", "8/255/3", "0/255",
    "1" * 300 + "/255", "yes", "0o17", "'8 / 255'", "- - - x",
]  # fmt: skip
"""Values and fragments that have broken parsers, paths, terminals and pages."""


def mutate(text: str, rng: random.Random) -> str:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        text = rng.choice((_value, _value, _key, _line, _characters, _indent))(text, rng)
    return text


def _value(text: str, rng: random.Random) -> str:
    scalars = list(re.finditer(r"(?<=[:\[,] )[^\n,\[\]{}]+", text))
    if not scalars:
        return text + rng.choice(NASTY)
    found = rng.choice(scalars)
    return text[: found.start()] + rng.choice(NASTY) + text[found.end() :]


def _key(text: str, rng: random.Random) -> str:
    keys = list(re.finditer(r"\w+(?=:)", text))
    if not keys:
        return text
    found, other = rng.choice(keys), rng.choice(keys)
    return text[: found.start()] + rng.choice((other.group(), rng.choice(NASTY), "")) + text[found.end() :]


def _line(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    change = rng.randrange(4)
    if change == 0:
        lines[i], lines[j] = lines[j], lines[i]
    elif change == 1:
        lines.insert(i, lines[j])
    elif change == 2:
        del lines[i]
    else:
        lines[i] += rng.choice(NASTY)
    return "\n".join(lines)


def _characters(text: str, rng: random.Random) -> str:
    i = rng.randrange(len(text) + 1)
    drop = rng.choice((0, 1, 1, 5, 50))
    return (
        text[:i]
        + "".join(
            rng.choice("\x00\t\n :-[]{}&*!|>'\"%@`,#?\\\u2028\ufeffa1") for _ in range(rng.randrange(4))
        )
        + text[i + drop :]
    )


def _indent(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    i = rng.randrange(len(lines))
    lines[i] = rng.choice((" ", "  ", "\t", "- ", "? ", "")) + lines[i].lstrip(rng.choice((" ", "")))
    return "\n".join(lines)


def answer(file: Path, text: str) -> str:
    """ "suite" or "error"; anything else that happens is a failure."""
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        suite = load_suite(file)
    except UserError as error:
        return "error" if str(error).startswith(str(file)) else "an error that does not name the file"
    folder = (file.parent / suite.name).resolve()
    assert folder.parent == file.parent.resolve(), "the run's folder would stand outside of the results"
    for name in [m.name for m in suite.models] + [a.label for a in suite.attacks]:
        assert re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name, re.ASCII)
    return "suite"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("suites") / "x.yaml"


@pytest.mark.parametrize("nasty", NASTY)
def test_every_nasty_value_everywhere(nasty: str, file: Path) -> None:
    text = SUITE
    for found in re.finditer(r"(?<=[:\[,] )[^\n,\[\]{}]+", text):
        assert answer(file, text[: found.start()] + nasty + text[found.end() :]) in {"suite", "error"}


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(st.randoms(use_true_random=False), st.sampled_from(SHIPPED))
def test_mutations_give_a_suite_or_an_error(file: Path, rng: random.Random, text: str) -> None:
    assert answer(file, mutate(text, rng)) in {"suite", "error"}


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(st.text())
@example("\ufeff")
@example("--- a\n--- b")
@example("%YAML 9.9\n---\na")
def test_any_text_gives_an_error(file: Path, text: str) -> None:
    assert answer(file, text) == "error"


@pytest.mark.slow
def test_many_mutations(file: Path, tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answers: list[str] = []
    slowest = 0.0

    @seed(SEED)
    @settings(
        max_examples=MANY, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate]
    )  # fmt: skip
    @given(st.integers(0, 2**64), st.sampled_from(SHIPPED))
    def fuzz(number: int, text: str) -> None:
        nonlocal slowest
        started = time.process_time()
        answers.append(answer(file, mutate(text, random.Random(number))))
        slowest = max(slowest, time.process_time() - started)

    fuzz()
    suites, refused = answers.count("suite"), answers.count("error")
    figure(
        f"5 hostile suites (seed {SEED}): {len(answers)} inputs, {suites} still suites, {refused} refused by"
        f" name, 0 tracebacks, slowest {slowest:.2f} s"
    )
    assert len(answers) == suites + refused >= MANY
    assert list(tmp_path.iterdir()) == [], "something was written"


BOMBS = {
    "laughs": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
    ),
    "merges": (
        "a: &a {x: 1}\n"
        + "".join(
            f"{b}: &{b} {{<<: [*{a}, *{a}, *{a}, *{a}]}}\n"
            for a, b in zip("abcdefghijkl", "bcdefghijklm", strict=True)
        )
    ),
    "itself": "a: &a [*a]\n",
    "deep flow": "[" * 90_000,
    "deep block": "\n".join(" " * i + "a:" for i in range(500)),
    "wide": "a: [" + "1," * 45_000 + "]",
    "ten megabytes": "# " + "x" * 10_000_000,
    "long key": "x" * 90_000 + ": 1",
    "big numbers": "seeds: [" + ",".join(["9" * 4000] * 40) + "]",
    "exponent": "eps: [1e999999999, 1e-999999999]",
    "many errors": "models: [" + "{name: 1}," * 4_000 + "]",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_are_refused(bomb: str, file: Path) -> None:
    assert answer(file, bomb) == "error"


def test_bombs_cost_little(file: Path, figure: Figure) -> None:
    """All of them in a child that the kernel ends if it takes more than this."""
    megabytes, seconds = 256, 60
    assert ends_within(
        megabytes, seconds, lambda: {answer(file, bomb) for bomb in BOMBS.values()} == {"error"}
    )
    figure(
        f"5 YAML bombs and a suite of 10 MB: {len(BOMBS)} tried, all refused within {megabytes} MiB and"
        f" {seconds} s of CPU"
    )


def test_a_refused_name_cannot_steer_the_terminal(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(
        next(text for text in SHIPPED if "name: fgsm_pgd\n" in text).replace(
            "name: fgsm_pgd", 'name: "\\e[31m\\e]0;owned\\a"'
        )
    )
    assert main(["run", str(file)]) == 2
    err = capsys.readouterr().err
    assert "is not a name" in err
    assert "\x1b" not in err
    assert "\\x1b[31m" in err


def test_a_python_tag_is_not_run(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file.write_text("name: !!python/object/apply:os.system ['touch pwned']")
    assert main(["run", str(file)]) == 2
    assert "could not determine a constructor" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
