"""Draw what the diffusion model sees and restores: `python docs/restoration.py [SLIDE] [--model NAME|FOLDER]`.

Half of the entities of a real tile are hidden and noised at four strengths; the decoder restores them from the other
half. Latents become pixels again through stage 1, window by window, each pasted back onto the pixels of its entity.
The last panel shows the encoder's gates: how much of each contact passes on to the vertices.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from hmgdm_plugin.graph.build import build
from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.model.restored import Restored
from hmgdm_plugin.schema.graph import batched
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.zoo.load import LoadedModel, load

HERE = Path(__file__).resolve().parent
SLIDE = Path(os.environ.get("HMGDM_DATA", HERE.parents[1] / "shared" / "data")) / "wsi" / "CMU-1-Small-Region.svs"
STEPS = 250, 500, 750, 999
GLASS = 235
Image = NDArray[np.uint8]
Labels = NDArray[np.int32]


def pasted(
    model: LoadedModel, latents: Tensor, which: NDArray[np.intp], labels: Labels, centres: NDArray, ground: Image
) -> Image:
    """`ground` (S, S, 3) with the entities `which` (K,) painted from their attribute vectors `latents` (K, d)."""
    graph = model.card.graph
    stage1 = model.features.autoencoder
    with torch.no_grad():
        windows = stage1.decode(latents[:, : stage1.latent_dim]).numpy()
    out = ground.copy()
    ratio = graph.stored_px / graph.window_px
    for window, entity in zip(windows, which, strict=True):
        y, x = np.nonzero(labels == entity)
        left, top = np.floor(centres[entity] - graph.window_px / 2 + 0.5)
        column, row = (x - left + 0.5) * ratio, (y - top + 0.5) * ratio
        inside = (column >= 0) & (row >= 0) & (column < graph.stored_px) & (row < graph.stored_px)
        rgb = window[:3, row[inside].astype(int), column[inside].astype(int)]
        out[y[inside], x[inside]] = (rgb.T * 255).round().astype(np.uint8)
        out[y[~inside], x[~inside]] = GLASS  # beyond the window nothing is known
    return out


def restored(model: LoadedModel, batch: LatentBatch, seed: int, t: int) -> tuple[Restored, Tensor, Tensor]:
    """Restored vertices at step t, what is hidden (N,), and the estimate (R, d) of the hidden attributes."""
    draw = model.encoder.draw(batch, torch.Generator().manual_seed(seed))
    draw = replace(draw, steps=torch.full_like(draw.steps, t))
    with torch.no_grad():
        vertex, _, _ = model.encoder.restore(batch, draw)
    steps = torch.full((len(vertex.rows),), t)
    return vertex, draw.hide_vertices, model.encoder.noise.clean(vertex.noisy, vertex.correction, steps)


def _show(axes: Axes, image: Image, title: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def borders(labels: Labels) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour belongs to another entity."""
    out = np.zeros(labels.shape, bool)
    out[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    out[:-1] |= labels[:-1] != labels[1:]
    return out


def draw_gates(axes: Axes, rgb: Image, gates: Tensor, edges: NDArray, centres: NDArray) -> None:
    """Contacts as lines, the wider and brighter the more passes."""
    _show(axes, (rgb * 0.5 + 127).astype(np.uint8), f"Gates of the encoder, {gates.min():.2f} to {gates.max():.2f}")
    low, high = float(gates.min()), float(gates.max())
    share = ((gates - low) / max(high - low, 1e-6)).numpy()
    lines = LineCollection(centres[edges.T], cmap="viridis", array=share, linewidths=0.5 + 2.5 * share)
    axes.add_collection(lines)


def figure(model: LoadedModel, rgb: Image, tile: Tile, seed: int) -> Figure:
    """All panels of one tile."""
    graph, labels = build(rgb, tile, "figure", model.card.graph)
    with torch.no_grad():
        batch = model.features(batched([graph]))
        gates = model.encoder.embed(batch).gates[-1]
    centres = (graph.pos.numpy() - [tile.x_px, tile.y_px]) / tile.scale
    _, hide, _ = restored(model, batch, seed, STEPS[0])
    hidden = np.nonzero(hide.numpy())[0]
    seen = np.where(np.isin(labels, hidden)[..., None], np.uint8(GLASS), rgb)
    entities = rgb.copy()
    entities[borders(labels)] = (255, 255, 0)
    drawn = Figure(figsize=(13, 8.6), layout="constrained")
    axes = drawn.subplots(3, 5)
    _show(axes[0, 0], rgb, "A tile at 0.5 µm per pixel")
    _show(axes[0, 1], entities, f"{len(centres)} entities, {graph.edge_index.shape[1]} contacts")
    _show(axes[0, 2], seen, f"What the encoder sees: {len(centres) - len(hidden)} entities")
    best = pasted(model, batch.x, np.arange(len(centres)), labels, centres, np.full_like(rgb, GLASS))
    _show(axes[0, 3], best, "All entities through stage 1 alone")
    draw_gates(axes[0, 4], rgb, gates, graph.edge_index.numpy(), centres)
    everything = pasted(model, batch.x[hide], hidden, labels, centres, rgb)
    _show(axes[1, 0], everything, "Hidden half as stage 1 keeps it: the truth")
    _show(axes[2, 0], rgb, "The tile again")
    for column, t in enumerate(STEPS, 1):
        vertex, _, estimate = restored(model, batch, seed, t)
        noisy = pasted(model, vertex.noisy, hidden, labels, centres, rgb)
        _show(axes[1, column], noisy, f"Hidden half noised, step {t}")
        error, trivial = vertex.mean_loss.item(), vertex.mean_trivial.item()
        back = pasted(model, estimate, hidden, labels, centres, rgb)
        _show(axes[2, column], back, f"Restored: error {error:.3f}\n(linear denoiser {trivial:.3f})")
    return drawn


def main() -> None:
    """Read the arguments, draw, save."""
    parser = argparse.ArgumentParser(description="Draw what the diffusion model sees and restores.")
    parser.add_argument("slide", type=Path, nargs="?", default=SLIDE)
    parser.add_argument("--model", default="hmgdm-windows")
    parser.add_argument("--at", type=float, nargs=2, default=(900.0, 1500.0), metavar=("X", "Y"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "images" / "restoration.jpg")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = load(asked.model)
    side = model.card.graph.tile_px
    with open_slide(asked.slide) as slide:
        side_px = side * model.card.graph.mpp / slide.frame.mpp
        tile = Tile(*asked.at, side_px, side, model.card.graph.mpp)
        rgb = slide.read(*asked.at, side_px, side)
    options = {"quality": 88} if asked.out.suffix == ".jpg" else {}
    figure(model, rgb, tile, asked.seed).savefig(asked.out, dpi=110, pil_kwargs=options)


if __name__ == "__main__":
    main()
