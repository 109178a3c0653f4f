"""A model card for the Hugging Face Hub: a file whose text goes into a model repository's README.md."""

from pathlib import Path

from bench.api.exporters.exporter import Exporter, Scored


def _send(run: Scored, file: Path | None) -> str:
    from bench.render.model_card import model_card
    from bench.render.output import write

    write(model_card(run.card, run.header), file)
    return str(file)


CARD = Exporter("card", _send, file="model-card.md")
