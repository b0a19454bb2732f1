"""The stages of pre-training on cached graphs: the entity auto-encoder, latents, masked graph diffusion.

Each stage reads what the one before left in the run folder, skips what is already there, and resumes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from ..model.autoencoder import EntityAutoencoder
from ..model.batch import LatentBatch
from ..model.features import EntityFeatures
from ..model.hmgdm import HMGDM
from ..schema.events import Events
from ..schema.settings import PretrainSettings
from .loop import fit
from .shards import Shards, chunks, write_latents

GRAPHS_PER_SHARD = 64
FIT_GRAPHS = 512


def autoencoder_stage(
    graphs: Shards, settings: PretrainSettings, folder: Path, recipe: str, events: Events
) -> tuple[EntityAutoencoder, list[dict[str, float]]]:
    """Train stage 1 on random windows of the graphs and standardise its latents."""
    torch.manual_seed(settings.seed)
    model = EntityAutoencoder(settings.autoencoder, settings.graph.stored_px)

    def load(numbers: np.ndarray, rng: np.random.Generator) -> Tensor:
        return torch.cat([graphs.windows(int(n), settings.windows_per_graph, rng) for n in numbers])

    history = fit(
        "autoencoder", model, model.loss, load, len(graphs), settings.stage1,
        folder / "autoencoder.safetensors", recipe, settings.seed, events,
    )  # fmt: skip
    rng = np.random.default_rng(settings.seed)
    some = rng.permutation(len(graphs))[:FIT_GRAPHS]
    with torch.no_grad():
        means = torch.cat([model(load(part, rng)).mean for part in np.array_split(some, max(len(some) // 32, 1))])
    model.fit_standardisation(means)
    return model, history


def features_of(graphs: Shards, autoencoder: EntityAutoencoder, settings: PretrainSettings) -> EntityFeatures:
    """Freeze stage 1 and fit the scale of the descriptors on some of the graphs."""
    descriptors = graphs.fields(0, ("desc",), ())["desc"].shape[1]
    features = EntityFeatures(autoencoder, descriptors, settings.diffusion.features)
    some = np.random.default_rng(settings.seed).permutation(len(graphs))[:FIT_GRAPHS]
    parts = [graphs.fields(int(n), ("desc",), ("edge_desc",)) for n in some]
    features.fit_descriptors(torch.cat([p["desc"] for p in parts]), torch.cat([p["edge_desc"] for p in parts]))
    return features.eval().requires_grad_(False)


def latents_stage(graphs: Shards, features: EntityFeatures, folder: Path, events: Events) -> Shards:
    """Turn the windows of all graphs into the attributes of stage 2, shard by shard."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(chunks(len(graphs), GRAPHS_PER_SHARD)):
        path = folder / f"latents-{number:05d}.safetensors"
        if not path.exists():
            batch = Batch.from_data_list([graphs.graph(n) for n in part])
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                write_latents(path, features(batch), [graphs.patients[n] for n in part])
        events.progress("latents", part.stop, len(graphs))
    return Shards(folder, "latents-*.safetensors")


def diffusion_stage(
    latents: Shards, parts: tuple[int, ...], settings: PretrainSettings, folder: Path, recipe: str, events: Events
) -> tuple[HMGDM, list[dict[str, float]]]:
    """Train stage 2 on the latent graphs."""
    torch.manual_seed(settings.seed + 1)
    model = HMGDM(settings.diffusion, parts, parts)

    def load(numbers: np.ndarray, rng: np.random.Generator) -> LatentBatch:
        return latents.latents([int(n) for n in numbers])

    history = fit(
        "diffusion", model, model, load, len(latents), settings.stage2,
        folder / "diffusion.safetensors", recipe, settings.seed, events,
    )  # fmt: skip
    return model, history
