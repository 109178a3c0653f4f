"""The sentences on a run: each said once, on the scorecard, and the same in every format."""

import json
from pathlib import Path

import bench
from bench import render
from bench.ids import ModelId
from bench.render.report import to_html
from bench.scoring.crosscheck import CrossCheck
from bench.scoring.remarks import Remark, carried, crosschecked, not_run, trust, unranked
from bench.store import StoredRun, list_runs
from tests.builders.boards import entry, one_seed
from tests.render.test_leaderboard_formats import printed
from tests.render.test_report import Page

FAILED = "lora|r=8/0/pgd/art eps 16/255"
FLAGGED = "lora|r=8 fgsm"
BOARD = (
    Remark(
        "unchecked",
        "4 of 23 cells are unchecked (?): a masked gradient would not have been seen (not enough was"
        " measured)",
        grade="unchecked",
    ),
    *(
        Remark("cross-check", f"{where}: art is stronger (samples {names}, ...)", where, "fail")
        for where, names in (
            ("base/0/pgd eps 8/255", "s060, s061, s062"),
            ("base/0/pgd eps 16/255", "s040, s041, s042"),
            ("lora|r=8/0/pgd eps 8/255", "s100, s101, s102"),
        )
    ),
    Remark(
        "flag",
        f"unconstrained: fail on {FLAGGED}, cells: 4: 4 of 16 samples hold at linf 1/2",
        FLAGGED,
        "fail",
    ),
    Remark(
        "trust",
        "trust of 23 cells: 15 pass, 4 unchecked (?), 4 fail (✗); not checked for lack of samples:"
        " binarisation (2 cells); the checks took 9 % of the attacks' time",
        grade="fail",
    ),
    Remark("error", f"{FAILED}: error: RuntimeError: <planted>", FAILED, "fail"),
)


def test_what_a_board_says(tmp_path: Path) -> None:
    assert one_seed(tmp_path).remarks == BOARD


def test_every_format_says_it_in_the_same_words(tmp_path: Path) -> None:
    card = one_seed(tmp_path)
    header = StoredRun(list_runs(tmp_path)[0]).header
    assert json.loads(render.to_json(card))["remarks"] == [vars(remark) for remark in BOARD]
    terminal = " ".join(printed(card, 80).split())
    assert [r.kind for r in BOARD if r.text not in terminal] == ["flag"], "a terminal has a table of these"
    page = set(Page(to_html(card, header, None)).words)
    assert [r.kind for r in BOARD if r.text not in page] == ["flag"], "and so has a report"
    lines = render.to_markdown(card).splitlines()
    assert [r.kind for r in BOARD if f"- {render_markdown(r.text)}" not in lines] == ["cross-check"] * 3


def render_markdown(text: str) -> str:
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")


def test_python_users_have_them_as_a_frame(tmp_path: Path) -> None:
    one_seed(tmp_path)
    frame = bench.load(list_runs(tmp_path)[0]).remarks
    assert [Remark(**row) for row in frame.to_dict("records")] == list(BOARD)


def test_kinds_come_in_the_order_that_they_are_asked_for_in(tmp_path: Path) -> None:
    card = one_seed(tmp_path)
    assert card.remarks_on("error", "unchecked") == [BOARD[-1], BOARD[0]]
    assert card.remarks_on("unranked", "carried", "precision", "not run") == []


def test_undecided_checks_are_explained_once_and_a_pair_is_named_where_there_are_several() -> None:
    check = CrossCheck(
        ModelId("m", 0), "pgd", entry("m", 0, "pgd", "8/255", "art").eps, "foolbox", "art", "differ"
    )
    both = [check, CrossCheck(**{**vars(check), "second": "torchattacks", "cause": "planted"})]
    assert [remark.text for remark in crosschecked(both)] == [
        "m/0/pgd eps 8/255, Foolbox and ART: neither is stronger (samples )",
        "m/0/pgd eps 8/255, Foolbox and torchattacks: neither is stronger (samples ); likely cause: planted",
    ]
    undecided = [CrossCheck(**{**vars(check), "verdict": "undecided"})] * 2
    assert [remark.text[:10] for remark in crosschecked(undecided)] == ["undecided:"]


def test_units_that_were_not_run_are_named_up_to_four() -> None:
    cells = [entry(f"m{i}", 0, "fgsm", "8/255", "art") for i in range(6)]
    (remark,) = not_run(cells)
    named = "m0/0/fgsm/art, m1/0/fgsm/art, m2/0/fgsm/art, m3/0/fgsm/art and 2 more"
    assert remark == Remark("not run", f"not run: 6 of 6 cells ({named})", grade="unchecked")


def test_nothing_is_said_of_nothing() -> None:
    assert [*trust([]), *carried([]), *unranked([]), *crosschecked([]), *not_run([])] == []
