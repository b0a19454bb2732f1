"""The sheet that every picture is drawn on: layout, scale bar, colour bar, legend. matplotlib only inside functions.

The axes carry level-0 pixels, so that thumbnails, crops and outlines meet without any conversion here.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from ..schema.run import writing
from .pixels import as_bytes, encoded, resized

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import Collection
    from matplotlib.figure import Figure

DPI = 160
_WIDEST_IN, _HIGHEST_IN = 5.6, 6.6  # of the tissue alone; with its legend it fills the width of an A4 page
_NARROWEST_IN, _MARGIN_IN = 1.2, 0.08
BAR_IN, LEGEND_IN = 1.2, 1.9  # room on the right for a colour bar, for a legend
BAR_HIGH_IN = 1.5  # of the bar itself, at least
# green and blue: eosin is neither, and colour-blind eyes tell them apart
_AGAINST, _FOR = ("#0B3FA8", "#3E8EF7", "#B5D6FF"), ("#A8E6BE", "#19C37D", "#00794F")


def sheet(
    picture: ArrayLike,
    origin_px: tuple[float, float],
    scale: float,
    title: str,
    mpp_level0: float,
    side_in: float = BAR_IN,
    least_in: float = 0.0,
) -> tuple[Figure, Axes]:
    """A picture (h, w, 3), of bytes or in 0..1, with its title and scale bar; axes in level-0 pixels.

    `side_in` inches are kept free on the right for a legend that is `least_in` inches high.
    """
    from matplotlib.figure import Figure

    image = as_bytes(np.asarray(picture))
    height, width = image.shape[:2]
    zoom = DPI * min(_WIDEST_IN / width, _HIGHEST_IN / height)
    wide, high = max(1, round(width * zoom)), max(1, round(height * zoom))  # pixels of the sheet from here on
    room = max(wide, round(_NARROWEST_IN * DPI)), max(high, round(_NARROWEST_IN * DPI))
    lines = textwrap.wrap(title, int((room[0] / DPI + side_in) * 8.6), max_lines=2, placeholder=" …") or [""]
    margin, title_high = round(_MARGIN_IN * DPI), round((0.18 + 0.22 * len(lines)) * DPI)
    size = room[0] + round(side_in * DPI) + margin, max(room[1], round(least_in * DPI)) + title_high + margin
    figure = Figure(figsize=((size[0] + 0.1) / DPI, (size[1] + 0.1) / DPI), dpi=DPI, facecolor="white")
    left, top = margin + (room[0] - wide) // 2, title_high + (room[1] - high) // 2
    bottom = size[1] - top - high
    axes = figure.add_axes((left / size[0], bottom / size[1], wide / size[0], high / size[1]), facecolor="none")
    x_px, y_px = origin_px
    axes.set(xlim=(x_px, x_px + width * scale), ylim=(y_px + height * scale, y_px), xticks=[], yticks=[])
    axes.set_autoscale_on(False)
    _lay(figure, resized(image, (wide, high)), left, bottom)
    place = (margin / size[0], 1 - 0.08 * DPI / size[1])
    figure.text(*place, "\n".join(lines), size=12.5, weight="bold", va="top", parse_math=False, linespacing=1.1)
    scale_bar(axes, mpp_level0)
    return figure, axes


def scale_bar(axes: Axes, mpp: float, size: float = 10.5) -> None:
    """A bar of 1, 2 or 5 times a power of ten microns, about a fifth of the width; `mpp` microns per axis unit."""
    from matplotlib.font_manager import FontProperties
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    left, right = axes.get_xlim()
    um, text = nice_length(abs(right - left) * mpp / 4)
    per_in = abs(right - left) / axes.get_window_extent().width * DPI
    bar = AnchoredSizeBar(
        axes.transData,
        um / mpp,
        text,
        "lower left",
        pad=0.35,
        borderpad=0.5,
        sep=3,
        color="black",
        size_vertical=per_in * size / 300,
        fontproperties=FontProperties(size=size),
    )
    bar.patch.set(alpha=0.85, linewidth=0, boxstyle="round,pad=0,rounding_size=0.2")
    axes.add_artist(bar)


def nice_length(longest_um: float) -> tuple[float, str]:
    """The longest of 1, 2, 5, 10, … microns that is not above `longest_um`, and how it is written."""
    power = 10.0 ** math.floor(math.log10(longest_um))
    um = max(step * power for step in (1, 2, 5) if step * power <= longest_um * (1 + 1e-9))
    return um, f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} µm"


def colour_bar(figure: Figure, axes: Axes, scale: ScalarMappable, unit: str, values: NDArray[np.float64]) -> None:
    """The scale of `values` beside the picture; its ends are pointed where values lie beyond it."""
    box = axes.get_position()
    wide_in, high_in = figure.get_size_inches()
    length = min(max(box.height * 0.7, BAR_HIGH_IN / high_in), 3.2 / high_in)
    place = (box.x1 + 0.2 / wide_in, box.y1 - length - 0.1 / high_in, 0.16 / wide_in, length)
    low, high = scale.get_clim()
    known = values[np.isfinite(values)]
    below, above = bool((known < low).any()), bool((known > high).any())
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    bar = figure.colorbar(scale, cax=figure.add_axes(place), extend=extend[below, above], extendfrac=0.04)
    bar.set_label(textwrap.shorten(unit, 60), size=11, parse_math=False)
    bar.ax.tick_params(labelsize=10.5)
    bar.outline.set_linewidth(0.5)


def legend(figure: Figure, axes: Axes, names: Sequence[str], colours: ArrayLike, note: str = "") -> None:
    """Names (n) with their colours (n, 3) beside the picture, and a note beneath them."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import Patch

    wide_in = figure.get_size_inches()[0]
    wrapped = [_wrapped(name) for name in names]
    patches = [Patch(facecolor=rgb, edgecolor="0.25", linewidth=0.5) for rgb in np.asarray(colours)]
    box = axes.get_position()
    place = (box.x1 + 0.1 / wide_in, box.y1)
    shown = figure.legend(
        patches, wrapped, loc="upper left", bbox_to_anchor=place, fontsize=10.5, frameon=False, borderaxespad=0
    )
    shown.set_title("\n".join(textwrap.wrap(note, 18)), prop=FontProperties(size=10.5))
    shown.set_alignment("left")
    for text in shown.get_texts():
        text.set_parse_math(False)


def legend_height(names: Sequence[str]) -> float:
    """Inches that the legend of `names` takes."""
    return 0.1 + sum(0.19 * (_wrapped(name).count("\n") + 1) + 0.08 for name in names)


def number(axes: Axes, point: shapely.Point, rank: int) -> None:
    """A number in a white disc, to be found again in a list."""
    disc = {"boxstyle": "circle,pad=0.18", "facecolor": "white", "edgecolor": "black", "linewidth": 0.7, "alpha": 0.9}
    axes.text(point.x, point.y, str(rank), size=7.5, ha="center", va="center", weight="bold", bbox=disc, clip_on=True)


def span(values: NDArray[np.float64], low: float = 2, high: float = 98) -> tuple[float, float]:
    """Percentiles of the finite values, never equal to each other."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    first, last = np.percentile(known, [low, high])
    return (float(first), float(last)) if last > first else (float(first) - 0.5, float(first) + 0.5)


def importance_scale(values: NDArray[np.float64]) -> tuple[ScalarMappable, NDArray[np.float64]]:
    """Colours of importance, blue against and green for the answer, and how strongly to draw each value (0..1)."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    top = max(float(np.nanpercentile(np.abs(values), 98)) if np.isfinite(values).any() else 1.0, 1e-12)
    signed = bool((values < 0).any())
    stops = [*_AGAINST, "#F4F4F4", *_FOR] if signed else ["#F4F4F4", *_FOR]
    colours = LinearSegmentedColormap.from_list("importance", stops)
    scale = ScalarMappable(Normalize(-top if signed else 0.0, top), colours)
    return scale, np.clip(np.abs(values) / top, 0, 1)


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


def trace(axes: Axes, shape: shapely.Geometry) -> None:
    """Draw the outline of one entity: dark on a light seam, to be seen on any stain."""
    from matplotlib.collections import PathCollection

    paths = [_path(part) for part in shapely.get_parts(shape)]
    for colour, width in (("white", 1.8), ("#111111", 0.8)):
        axes.add_collection(PathCollection(paths, facecolors="none", edgecolors=colour, linewidths=width))


def png(figure: Figure) -> bytes:
    """The sheet as PNG that does not say when and with what it was made."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return encoded(np.asarray(canvas.buffer_rgba())[..., :3], DPI)


def save(figure: Figure, path: Path) -> None:
    """Write the sheet as `png`."""
    data = png(figure)
    with writing(path):
        path.write_bytes(data)


def _lay(figure: Figure, rgb: NDArray[np.uint8], left: int, bottom: int) -> None:
    """Put pixels on the sheet as they are: a picture of matplotlib's own is resampled, however well it fits."""
    from matplotlib.artist import Artist

    class Pixels(Artist):
        def draw(self, renderer: Any) -> None:
            rgba = np.dstack([rgb[::-1], np.full(rgb.shape[:2], 255, np.uint8)])  # from the lower left
            renderer.draw_image(renderer.new_gc(), left, bottom, rgba)

    figure.add_artist(Pixels()).set_zorder(-1)


def _path(part: Any) -> Any:
    from matplotlib.path import Path as Outline

    rings = [part.exterior, *part.interiors] if part.geom_type == "Polygon" else [part]
    closed = part.geom_type == "Polygon"
    return Outline.make_compound_path(*(Outline(np.asarray(ring.coords)[:, :2], closed=closed) for ring in rings))


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 17, max_lines=3, placeholder=" …"))
