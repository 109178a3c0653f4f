"""Under the leaderboard: what adversarial training does for adapters, question by question."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from bench.scoring.robust_training import TESTED
from bench.scoring.scorecard import Scorecard


def answer_lines(card: Scorecard) -> Iterator[Table | Text]:
    """Each question with its answers, a line a model; nothing if the suite trains nothing adversarially."""
    for question in dict.fromkeys(answer.question for answer in card.answers):
        yield Text(question, style="italic")
        table = Table.grid(padding=(0, 1))
        for answer in card.answers:
            if answer.question == question:
                table.add_row("•", Text(answer.text))
        yield table
    if card.answers:
        yield Text(TESTED, style="dim")


def answers_in_words(card: Scorecard) -> list[str]:
    """The same as sentences."""
    return [f"{answer.question} {answer.text}" for answer in card.answers]
