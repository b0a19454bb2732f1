"""Write the pages that follow from the code: `python docs/generate.py` after a change of the CLI or of a card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from hmgdm_plugin.cli import app
from hmgdm_plugin.zoo.card import Card, NucleiCard, read_any_card
from hmgdm_plugin.zoo.page import table

HERE = Path(__file__).resolve().parent
ZOO = HERE.parent / "model_zoo"
NOTE = "<!-- Written by docs/generate.py; a test compares. -->"


def cli_page() -> str:
    """``docs/cli.md``: the help of every command, as the terminal shows it."""
    intro = (
        "Exit codes: 0 done, 1 something asked for failed (what finished is kept), 2 the call or its input is wrong,\n"
        "130 cancelled."
    )
    sections = [f"## {path}\n\n```text\n{text}\n```" for path, text in _helps(typer.main.get_command(app), "hmgdm")]
    return "\n\n".join(["# The command line", NOTE, intro, *sections]) + "\n"


def _helps(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and help of `command` and of everything below it, 80 columns wide."""
    context = typer.Context(command, info_name=path, terminal_width=80, help_option_names=["-h", "--help"])
    yield path, "\n".join(line.rstrip() for line in command.get_help(context).strip().splitlines())
    for name, below in getattr(command, "commands", {}).items():
        yield from _helps(below, f"{path} {name}")


def models_page() -> str:
    """``docs/models.md``: what ships, what it predicts, and how well, from the cards."""
    cards = [read_any_card(path.parent) for path in sorted(ZOO.glob("*/card.toml"))]
    sections = [_nuclei(card) if isinstance(card, NucleiCard) else _section(card) for card in cards] or [
        "None ships yet."
    ]
    return "\n\n".join(["# Models", NOTE, *sections]) + "\n"


def _section(card: Card) -> str:
    heads = [(f"`{head.name}`", head.title, head.kind, head.unit, "yes" if head.default else "") for head in card.head]
    scores = [
        (s.task, s.metric, s.embedding, f"{s.value:.4g} ({s.low:.4g} to {s.high:.4g})", s.patients, s.tiles)
        for s in card.evaluation
        if s.metric.startswith("R2") or s.metric == "tile accuracy"
    ]
    parts = [
        f"## {card.name} {card.version}",
        f"{card.title}. {card.description}",
        f"Licence: {card.licence}. Tiles of {card.graph.tile_px} px at {card.graph.mpp:g} microns per pixel. "
        f"Everything else, limits first: [its card](../model_zoo/{card.name}/card.md).",
        table(("prediction", "what", "kind", "unit", "default"), heads) if heads else "Embeddings only.",
        table(("task", "metric", "embedding", "value (95 % interval)", "patients", "tiles"), scores)
        if scores
        else "Not evaluated.",
    ]
    return "\n\n".join(parts)


def _nuclei(card: NucleiCard) -> str:
    """A nucleus detector: what it is for, and how well it finds nuclei."""
    scores = [
        (s.group, s.metric, f"{s.value:.3f} ({s.low:.3f} to {s.high:.3f})", s.patients, s.images, s.nuclei)
        for s in card.evaluation
        if s.group == "all"
    ]
    parts = [
        f"## {card.name} {card.version}",
        f"{card.title}. {card.description}",
        f"Licence: {card.licence}. Works at {card.detector.mpp:g} microns per pixel. "
        f"Everything else, limits first: [its card](../model_zoo/{card.name}/card.md).",
        table(("on", "metric", "value (95 % interval)", "patients", "images", "nuclei"), scores)
        if scores
        else "Not evaluated.",
    ]
    return "\n\n".join(parts)


def main() -> None:
    """Write both pages."""
    (HERE / "cli.md").write_text(cli_page(), "utf-8")
    (HERE / "models.md").write_text(models_page(), "utf-8")


if __name__ == "__main__":
    main()
