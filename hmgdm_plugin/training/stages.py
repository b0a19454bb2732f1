"""The stages of pre-training on cached graphs: the entity auto-encoder, latents, masked graph diffusion.

Each stage reads what the one before left in the run folder, skips what is already there, and resumes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..model.autoencoder import EntityAutoencoder
from ..model.features import EntityFeatures
from ..model.hmgdm import HMGDM
from ..schema.events import Events
from ..schema.graph import batched
from ..schema.settings import PretrainSettings
from .context import Asked, pairs
from .log import Log, Row
from .loop import fit
from .objective import Run
from .objectives import autoencoder_objective, colourless, diffusion_objective, windows_of
from .order import Ints
from .shards import Shards, chunks, shard_name, write_index, write_latents
from .world import World

GRAPHS_PER_SHARD = 64
FIT_GRAPHS = 512
GRAPHS, LATENTS, HELD_GRAPHS, HELD_LATENTS = (
    f"{kind}-*.safetensors" for kind in ("graphs", "latents", "held-out-graphs", "held-out-latents")
)
Sets = dict[str, Shards]


def sets_of(folder: Path, training: str, held_out: str) -> Sets:
    """Graphs, or latents, to learn from and, where patients were held out, to evaluate on."""
    sets = {"training": Shards(folder, training)}
    if any(folder.glob(held_out)):
        sets["held-out"] = Shards(folder, held_out)
    return sets


def autoencoder_stage(sets: Sets, settings: PretrainSettings, run: Run) -> tuple[EntityAutoencoder, Log]:
    """Train stage 1 on random windows of the graphs and standardise its latents."""
    torch.manual_seed(settings.seed)
    device, per_graph, graphs = run.world.device, settings.windows_per_graph, sets["training"]
    model = EntityAutoencoder(settings.autoencoder, settings.graph.stored_px).to(device)
    rng = np.random.default_rng((settings.seed, 17))
    some = {
        name: windows_of(own, _some(own, settings.evaluation_graphs, 17), per_graph, rng) for name, own in sets.items()
    }

    @torch.no_grad()
    def evaluate() -> list[Row]:
        rows: list[Row] = []
        for name, own in some.items():
            windows = own.to(device)
            simple = colourless(windows)
            mean = float(simple["rgb_mean"] + settings.autoencoder.mask_weight * simple["mask_mean"])
            loss = float(model.loss(windows)["total"])
            rows.append({"graphs": name, "noise": "all", "loss": loss, "mean": mean})
        return rows

    log = fit(run, model, autoencoder_objective(model, graphs, per_graph), graphs, settings.stage1, evaluate)
    rng = np.random.default_rng(settings.seed)
    chosen = _some(graphs, FIT_GRAPHS, settings.seed)
    with torch.no_grad():
        parts = (windows_of(graphs, part, per_graph, rng) for part in np.array_split(chosen, -(-len(chosen) // 32)))
        model.fit_standardisation(torch.cat([model(part.to(device)).mean for part in parts]))
    run.world.share(model)
    return model.cpu(), log


def _some(shards: Shards, count: int, seed: int) -> Ints:
    """Numbers of at most `count` graphs at random, ascending."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(len(shards), min(count, len(shards)), replace=False))


def features_of(graphs: Shards, autoencoder: EntityAutoencoder | None, settings: PretrainSettings) -> EntityFeatures:
    """Freeze stage 1, if there is one, and fit the scale of the descriptors on some of the graphs."""
    descriptors = graphs.fields(0, ("desc",), ())["desc"].shape[1]
    features = EntityFeatures(autoencoder, descriptors, settings.diffusion.features)
    parts = [graphs.fields(int(n), ("desc",), ("edge_desc",)) for n in _some(graphs, FIT_GRAPHS, settings.seed)]
    features.fit_descriptors(torch.cat([p["desc"] for p in parts]), torch.cat([p["edge_desc"] for p in parts]))
    return features.eval().requires_grad_(False)


def latents_stage(sets: Sets, features: EntityFeatures, folder: Path, world: World, events: Events) -> Sets:
    """Turn the windows of all graphs into the attributes of stage 2, shard by shard, shared among the processes."""
    world.once(lambda: folder.mkdir(parents=True, exist_ok=True))
    features.to(world.device)
    for name, graphs in sets.items():
        pattern = HELD_LATENTS if name == "held-out" else LATENTS
        for number, part in enumerate(chunks(len(graphs), GRAPHS_PER_SHARD)):
            path = folder / shard_name(pattern, number)
            if number % world.size == world.rank and not path.exists():
                batch = batched([graphs.graph(n) for n in part])
                with torch.no_grad(), torch.autocast(world.device.type, torch.bfloat16):
                    latents = features(batch.to(world.device)).to("cpu")
                write_latents(path, latents, [graphs.patient(n) for n in part])
            events.progress("latents", part.stop, len(graphs))
        world.wait()
        world.once(partial(write_index, folder, pattern))
    features.cpu()
    return sets_of(folder, LATENTS, HELD_LATENTS)


def diffusion_stage(
    sets: Sets, parts: tuple[int, ...], settings: PretrainSettings, run: Run, beside: int = 0
) -> tuple[HMGDM, Log]:
    """Train stage 2 on the latent graphs; `parts` and `beside` as in `HMGDM`."""
    torch.manual_seed(settings.seed + 1)
    model = HMGDM(settings.diffusion, parts, parts, beside).to(run.world.device)
    some = {name: pairs(own, settings.evaluation_graphs, settings.seed) for name, own in sets.items()}
    asked = Asked(model, some, settings.seed, run.world.device)
    latents = sets["training"]
    log = fit(run, model, diffusion_objective(model, latents), latents, settings.stage2, asked)
    return model.cpu(), log
