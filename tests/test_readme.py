"""The README stays short, in short sentences."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def prose(text: str) -> list[str]:
    """The sentences of ``text``, without headings, code, pictures, tables, and the targets of links."""
    text = re.sub(r"```.*?```|<picture>.*?</picture>", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    blocks = re.split(r"\n\s*\n|\n(?=[-#|] ?)", text)
    told = [" ".join(block.split()) for block in blocks if block.strip() and block.lstrip()[0] not in "|#"]
    return [sentence for block in told for sentence in re.split(r"(?<=[.?!])\s+", block)]


def test_the_readme_is_short_and_so_are_its_sentences() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 140
    assert len(text.split()) < 900
    lengths = {sentence: len(re.findall(r"\w[\w'/.-]*", sentence)) for sentence in prose(text)}
    assert len(lengths) > 30
    assert max(lengths.values()) <= 35, max(lengths, key=lambda s: lengths[s])
    assert sum(lengths.values()) / len(lengths) <= 16
