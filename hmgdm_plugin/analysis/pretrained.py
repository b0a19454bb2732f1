"""The model folder at the end of pre-training: card, curves, weights."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..model.features import EntityFeatures
from ..model.hmgdm import HMGDM
from ..schema.settings import PretrainSettings
from ..training.log import Log, Row
from ..training.world import World
from ..zoo.card import Card, Data, Training
from ..zoo.save import save_model
from .corpus import Tally


def save_pretrained(
    folder: Path,
    settings: PretrainSettings,
    tally: Mapping[str, Tally],
    features: EntityFeatures,
    model: HMGDM,
    logs: Mapping[str, Log],
    world: World,
) -> Path:
    """Write the model folder; `tally` says what each source gave, `logs` are those of the stages that were trained."""
    where = f"{world.device.type.upper()}, {world.size} process{'es' * (world.size > 1)} of 1 thread"
    training = Training(
        epochs=settings.stage2.epochs,
        steps=int(logs["stage2"].rows[-1]["step"]),
        minutes=sum(log.seconds for log in logs.values()) / 60,
        device=where,
        numbers={key: value for stage, log in logs.items() for key, value in _finals(stage, log).items()},
        curves={f"{stage} total": _curve(log.rows) for stage, log in logs.items()},
    )
    return save_model(folder, _card(settings, tally, training, features.desc_mean.numel()), features, model, {})


def _curve(rows: Sequence[Mapping[str, float]], points: int = 50) -> tuple[float, ...]:
    """The total loss as about `points` means."""
    parts = [rows[k : k + -(-len(rows) // points)] for k in range(0, len(rows), -(-len(rows) // points))]
    return tuple(round(sum(row["total"] for row in part) / len(part), 5) for part in parts)


def _finals(stage: str, log: Log) -> dict[str, float]:
    """Mean of the last tenth of the rows, and the last evaluation over all noise levels."""
    tail = log.rows[-max(len(log.rows) // 10, 1) :]
    keys = sorted(set(tail[0]) - {"step", "graphs", "seconds", "lr"})
    out = {f"{stage}_{key}": sum(row[key] for row in tail) / len(tail) for key in keys}
    last: dict[str, Row] = {str(row["graphs"]): row for row in log.evaluations if row["noise"] == "all"}
    for name, row in last.items():
        own = {key: float(value) for key, value in row.items() if key not in ("step", "graphs", "noise")}
        out |= {f"{stage}_{name.replace('-', '_')}_{key}": value for key, value in own.items()}
    return out


def _card(settings: PretrainSettings, tally: Mapping[str, Tally], training: Training, descriptors: int) -> Card:
    """The card of a model that has no heads yet: what it saw, under which licence, for how long."""
    data = []
    for source in settings.sources:
        own = tally[source.name]
        kept = f"; kept out, for evaluation: patients {', '.join(sorted(own.held_out))}" if own.held_out else ""
        data.append(
            Data(
                name=source.name,
                licence=source.licence,
                images=len(own.images),
                patients=len(own.patients),
                tiles=own.tiles,
                use=f"pre-training without labels; views of each tile: {source.views}{kept}",
            )
        )
    return Card(
        name=settings.name,
        version="0.1.0",
        title=f"H-MGDM {settings.name}",
        description="Encoder of entity graphs of H&E tissue, pre-trained by masked graph diffusion.",
        created=time.strftime("%Y-%m-%d"),
        licence="; ".join(sorted({source.licence for source in settings.sources})),
        intended_use="Research on H&E tissue: embeddings of tiles and entities.",
        limits=("Not evaluated.", "Not for diagnosis."),
        descriptors=descriptors,
        graph=settings.graph,
        autoencoder=settings.autoencoder,
        diffusion=settings.diffusion,
        data=tuple(data),
        training=training,
    )
