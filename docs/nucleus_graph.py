"""Draw the graph of a real tile with its nuclei: `python docs/nucleus_graph.py [SLIDE] [--nuclei stardist|FILE]`.

Left the tile; in the middle its superpixels and the outlines of its nuclei; right the graph: contacts of superpixels,
nuclei joined to the superpixel that holds them, and near nuclei joined to each other. The picture goes to docs/images.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hmgdm_plugin.analysis.nuclei import nuclei_of
from hmgdm_plugin.graph.build import build
from hmgdm_plugin.graph.outlines import outlines
from hmgdm_plugin.report.canvas import paths_of
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.graph import EntityGraph
from hmgdm_plugin.schema.settings import GraphSettings
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide

HERE = Path(__file__).resolve().parent
SLIDE = Path(os.environ.get("HMGDM_DATA", HERE.parents[1] / "shared" / "data")) / "wsi" / "CMU-1-Small-Region.svs"
SETTINGS = GraphSettings(entities="tissue+nuclei")
CONTACT, HOLDER, NEAR = "#3E8EF7", "#B8860B", "#00794F"


def draw_graph(axes: Axes, graph: EntityGraph, tile: Tile) -> None:
    """Vertices and edges by kind, in pixels of the tile."""
    pos = (graph.pos.numpy() - (tile.x_px, tile.y_px)) / tile.scale
    kind, ends = graph.kind.numpy(), graph.edge_index.numpy()
    nuclei_at_ends = kind[ends].sum(axis=0)
    for count, colour, width in ((0, CONTACT, 1.0), (1, HOLDER, 0.7), (2, NEAR, 1.4)):
        axes.add_collection(LineCollection(pos[ends[:, nuclei_at_ends == count].T], colors=colour, linewidths=width))
    for which, colour, size, marker in ((0, CONTACT, 26, "s"), (1, NEAR, 16, "o")):
        axes.scatter(
            *pos[kind == which].T, s=size, c=colour, marker=marker, edgecolors="white", linewidths=0.6, zorder=3
        )


def picture(rgb: NDArray[np.uint8], graph: EntityGraph, shapes: NDArray[np.object_], tile: Tile) -> Figure:
    """The three panels."""
    figure = Figure(figsize=(11.4, 4.2), dpi=130, layout="constrained")
    panels = figure.subplots(1, 3)
    kinds = np.bincount(graph.kind.numpy(), minlength=2)
    titles = "the tile, 128 µm", f"{kinds[0]} superpixels, {kinds[1]} nuclei", f"{graph.edge_index.shape[1]} edges"
    for number, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        axes.imshow(rgb, alpha=0.45 if number == 2 else 1.0, interpolation="bilinear")
        axes.set(xticks=[], yticks=[], xlim=(-0.5, tile.size_px - 0.5), ylim=(tile.size_px - 0.5, -0.5))
        axes.set_title(title, fontsize=11)
    local = shapely.transform(shapes, lambda points: (points - (tile.x_px, tile.y_px)) / tile.scale)
    for own, colour, width in ((local[: kinds[0]], CONTACT, 0.9), (local[kinds[0] :], NEAR, 1.6)):
        lines = PathCollection(paths_of(list(own)), facecolors="none", edgecolors=colour, linewidths=width)
        panels[1].add_collection(lines)
    draw_graph(panels[2], graph, tile)
    return figure


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Draw the graph of a tile with its nuclei.")
    parser.add_argument("slide", type=Path, nargs="?", default=SLIDE)
    parser.add_argument("--nuclei", default="stardist")
    parser.add_argument("--corner", type=float, nargs=2, default=(1010.0, 1080.0), metavar=("X", "Y"))
    parser.add_argument("--out", type=Path, default=HERE / "images" / "nucleus-graph.jpg")
    arguments = parser.parse_args()
    with open_slide(arguments.slide) as slide:
        side_px = SETTINGS.tile_px * SETTINGS.mpp / slide.frame.mpp
        tile = Tile(*arguments.corner, side_px, SETTINGS.tile_px, SETTINGS.mpp)
        found = nuclei_of(arguments.nuclei, slide, [tile], Events()).map(tile)
        rgb = slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px)
        graph, labels = build(rgb, tile, slide.name, SETTINGS, found)
        shapes = np.concatenate([outlines(labels, int(labels.max()) + 1, tile), found.outlines])
    picture(rgb, graph, shapes, tile).savefig(arguments.out, pil_kwargs={"quality": 88})
    print(arguments.out)


if __name__ == "__main__":
    main()
