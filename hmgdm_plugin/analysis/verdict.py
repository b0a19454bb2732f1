"""Rows of an evaluation, judged on its yardsticks: answers are kept, a new row costs itself only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..evaluation import neighbourhoods
from ..evaluation.judging import Question, Row, asked, measured
from ..schema.errors import InputError
from ..schema.evaluation import EvaluateSettings, YardstickSettings
from ..schema.events import Events
from ..training.labelled import LabelledTile
from .contest import SHUFFLED, set_of
from .ground import digest

Floats = NDArray[np.float64]
Embeddings = Mapping[str, Sequence[NDArray[np.float32]]]  # row > embeddings of each seed


@dataclass(frozen=True)
class Asked:
    """A yardstick with its tiles and the name of their set."""

    question: Question
    tiles: Sequence[LabelledTile]
    name: str

    @classmethod
    def of(cls, task: YardstickSettings, tiles: Sequence[LabelledTile], seed: int) -> Asked:
        """Check that the tiles can answer.

        Raises
        ------
        InputError
            As `evaluation.judging.asked`.
        """
        if task.shuffled:
            groups = [str(getattr(tile, task.group)) for tile in tiles]
            return cls(neighbourhoods.question(groups, task), tiles, set_of(tiles) + SHUFFLED)
        return cls(asked(task, tiles, seed), tiles, set_of(tiles))


def judged(
    each: Asked, embeddings: Embeddings, keys: Mapping[str, str], settings: EvaluateSettings, folder: Path,
    events: Events,
) -> list[Row]:  # fmt: skip
    """Scores of all rows that can be asked; `keys` name the rows' embeddings, `folder` keeps the answers."""
    task = each.question.task
    own = digest(task.model_dump(mode="json", exclude={"name", "note", "unit", "tiles"}), each.name, settings.seed)
    guesses: dict[str, list[Floats]] = {}
    for number, (row, seeds) in enumerate(embeddings.items(), 1):
        guesses[row] = [
            _kept(folder / own / f"{keys[row]}-{seed}.npz", each.question, x, settings.seed)
            for seed, x in enumerate(seeds)
        ]
        events.progress(task.name, number, len(embeddings))
    dimensions = {row: seeds[0].shape[1] for row, seeds in embeddings.items()}
    reference = settings.reference if settings.reference in embeddings else None
    return measured(each.question, guesses, dimensions, reference)


def _kept(path: Path, question: Question, x: NDArray[np.float32], seed: int) -> Floats:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.npz")
        try:
            np.savez(partial, guess=question.guess(x, seed))
        except np.linalg.LinAlgError as error:
            raise InputError(f"{question.task.name}: {error}", "look for embeddings that are all alike") from error
        os.replace(partial, path)
    return np.load(path)["guess"]
