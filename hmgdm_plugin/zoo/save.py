"""Write a model folder: everything beside it first, the digests last, then one rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..schema.errors import InputError
from ..schema.run import writing
from ..schema.weights import write_tensors
from .card import CARD, Card, as_toml
from .digest import SUMS, sums_of
from .load import WEIGHTS, LoadedModel
from .page import PAGE, page
from .vector import answer, write_test_vector

if TYPE_CHECKING:
    from torch import nn

    from ..model.features import EntityFeatures
    from ..model.heads import ClusterHead, GatedHead
    from ..model.hmgdm import HMGDM
    from ..model.novelty import Novelty


def save_model(
    folder: Path,
    card: Card,
    features: EntityFeatures,
    encoder: HMGDM,
    heads: Mapping[str, GatedHead | ClusterHead],
    novelty: Novelty | None = None,
) -> Path:
    """Write the model as `folder`, with its test vector; an earlier model there is replaced whole.

    Parameters
    ----------
    folder : Path
        What will hold card, weights, test vector and digests; its name is the model's name.
    card : Card
        Lists exactly the heads in `heads`.
    features, encoder, heads, novelty
        The trained parts; put into evaluation mode on the CPU.

    Raises
    ------
    InputError
        The card and the parts differ, `folder` holds something that is not a model, or it cannot be written.
    """
    named = {head.name for head in card.head}
    if named != set(heads):
        raise InputError(
            f"{folder}: the card lists heads {sorted(named)}, given are {sorted(heads)}", "make them agree"
        )
    if (card.novelty is None) != (novelty is None):
        raise InputError(f"{folder}: the card and the parts disagree about novelty", "give both or neither")
    with writing(folder), replacing(folder) as stage:
        _write(stage, card, features, encoder, heads, novelty)
    return folder


def _write(
    stage: Path,
    card: Card,
    features: EntityFeatures,
    encoder: HMGDM,
    heads: Mapping[str, GatedHead | ClusterHead],
    novelty: Novelty | None,
) -> None:
    import torch

    parts: dict[str, nn.Module] = {"features.": features, "hmgdm.": encoder}
    parts |= {f"head.{name}.": head for name, head in heads.items()}
    parts |= {} if novelty is None else {"novelty.": novelty}
    for module in parts.values():
        module.cpu().eval()
    tensors = {p + key: value for p, module in parts.items() for key, value in module.state_dict().items()}
    write_tensors(stage / WEIGHTS, tensors)
    (stage / CARD).write_text(as_toml(card), "utf-8")
    (stage / PAGE).write_text(page(card), "utf-8")
    model = LoadedModel(card, stage, "", features, encoder, dict(heads), torch.device("cpu"), novelty)
    write_test_vector(stage, answer(model))
    (stage / SUMS).write_text(sums_of(stage), "utf-8")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` if all goes well, and vanishes if not."""
    if folder.exists() and not (folder / CARD).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there and is not a model", "give a new or empty folder")
    stage = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    stage.mkdir(parents=True)
    try:
        yield stage
        if folder.exists():
            os.replace(folder, old)
        os.replace(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
