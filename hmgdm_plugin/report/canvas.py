"""What the pictures share: colours, shapes as paths, and how a figure becomes a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..schema.run import writing
from ..schema.shades import scale, signed
from .pixels import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import Collection
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

DPI = 160
# green and blue: eosin is neither, and colour-blind eyes tell them apart
_AGAINST, _FOR = ("#0B3FA8", "#3E8EF7", "#B5D6FF"), ("#A8E6BE", "#19C37D", "#00794F")


def importance_scale(values: NDArray[np.float64]) -> tuple[ScalarMappable, NDArray[np.float64]]:
    """Colours of importance, blue against and green for the answer, and how strongly to draw each value (0..1)."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    two, top = signed(values), scale(values)[1]
    colours = importance_colours(two)
    return ScalarMappable(Normalize(-top if two else 0.0, top), colours), np.clip(np.abs(values) / top, 0, 1)


def importance_colours(two: bool) -> Colormap:
    """Pale to green; with `two` colours, blue over pale to green."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("importance", [*(_AGAINST if two else ()), "#F4F4F4", *_FOR])


def outlined(
    shapes: Sequence[shapely.Geometry], rgba: NDArray[np.float64], strength: NDArray[np.float64]
) -> Iterator[Collection]:
    """Areas with a light fill and a thin outline, lines as they are; weaker where `strength` (n,) is small."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path as Outline

    order = [i for i in np.argsort(np.nan_to_num(strength), kind="stable") if np.isfinite(strength[i])]
    areas = [i for i in order if shapely.get_dimensions(shapes[i]) == 2]
    lines = [i for i in order if shapely.get_dimensions(shapes[i]) == 1]
    for group, fill in ((areas, 0.45), (lines, 0.0)):
        if not group:
            continue
        # normalize winds holes against their shell, which is how a filled path leaves them open
        parts = [shapely.get_parts(shapely.normalize(shapes[i])) for i in group]
        paths = [Outline.make_compound_path(*map(_path, part)) for part in parts]
        face, edge = rgba[group].copy(), rgba[group].copy()
        face[:, 3] = fill * strength[group]
        edge[:, 3] = 0.25 + 0.75 * strength[group]
        yield PathCollection(paths, facecolors=face, edgecolors=edge, linewidths=0.6 + 0.8 * strength[group])


def paths_of(shapes: Sequence[shapely.Geometry]) -> list[Any]:
    """Areas as closed paths, holes and parts too."""
    return [_path(part) for shape in shapes for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]


def png(figure: Figure) -> bytes:
    """The sheet as PNG that does not say when and with what it was made; it is drawn only once.

    Figure and canvas hold each other: their pixels would stay until Python looks for such circles.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    data = encoded(np.asarray(canvas.buffer_rgba())[..., :3], DPI)
    canvas.renderer = None
    return data


def save(figure: Figure, path: Path) -> None:
    """Write the sheet as `png`."""
    data = png(figure)
    with writing(path):
        path.write_bytes(data)


def _path(part: Any) -> Any:
    from matplotlib.path import Path as Outline

    rings = [part.exterior, *part.interiors] if part.geom_type == "Polygon" else [part]
    closed = part.geom_type == "Polygon"
    return Outline.make_compound_path(*(Outline(np.asarray(ring.coords)[:, :2], closed=closed) for ring in rings))
