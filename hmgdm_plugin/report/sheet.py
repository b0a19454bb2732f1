"""The sheet that every picture of tissue is drawn on: title, frame, scale bar, colour bar, legend.

Drawn with figure, text and patches of matplotlib alone: its axes, legends and bars take five times as long as all of
this together, and a batch draws six sheets for each slide. Pixels of the sheet count from the upper left.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from .canvas import DPI
from .pixels import as_bytes, resized

if TYPE_CHECKING:
    from matplotlib.collections import Collection
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MINUS = "\u2212"
POINT = DPI / 72  # pixels
_WIDEST_IN, _HIGHEST_IN = 5.6, 6.6  # of the tissue alone; with its legend it fills the width of an A4 page
_NARROWEST_IN, _MARGIN_IN = 1.2, 0.08
BAR_IN, LEGEND_IN = 1.2, 1.9  # room on the right for a colour bar, for a legend
BAR_HIGH_IN = 1.5  # of the bar itself, at least
_LETTERS = 10.5  # points
_LINE_IN, _GAP_IN = 0.146, 0.073  # of a legend
_POINTED = 0.04  # share of a colour bar that is an arrow, where values lie beyond it


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure with tissue on it: `left`, `top`, `wide` and `high` say where, in pixels of the sheet."""

    figure: Figure
    left: int
    top: int
    wide: int
    high: int
    origin_px: tuple[float, float]
    zoom: float  # pixels of the sheet per level-0 pixel

    def add(self, shapes: Collection, level0: bool = True) -> None:
        """Draw shapes given in level-0 pixels, cut off at the frame, or in pixels of the sheet."""
        from matplotlib.transforms import Affine2D, Bbox

        place = Affine2D()
        if level0:
            place = place.translate(-self.origin_px[0], -self.origin_px[1]).scale(self.zoom)
            place = place.translate(self.left, self.top)
            low = self._height - self.top - self.high
            shapes.set_clip_box(Bbox.from_bounds(self.left, low, self.wide, self.high))
        shapes.set_transform(place.scale(1, -1).translate(0, self._height))
        self.figure.add_artist(shapes)

    def write(self, x: float, y: float, text: str, size: float = _LETTERS, **more: Any) -> Text:
        """Text at a pixel of the sheet."""
        wide, high = self.figure.bbox.size
        return self.figure.text(x / wide, 1 - y / high, text, size=size, parse_math=False, **more)

    def lay(self, rgb: NDArray[np.uint8], left: int, top: int) -> None:
        """Put pixels on the sheet as they are."""
        from .laid import Pixels

        bottom = int(self._height) - top - len(rgb)
        self.figure.add_artist(Pixels(rgb, left, bottom)).set_zorder(-1)

    def number(self, point: shapely.Point, rank: int) -> None:
        """A number in a white disc at a level-0 pixel, to be found again in a list."""
        disc = {"boxstyle": "circle,pad=0.18", "facecolor": "white", "edgecolor": "black", "linewidth": 0.7}
        x, y = ((point.x - self.origin_px[0]) * self.zoom, (point.y - self.origin_px[1]) * self.zoom)
        if 0 <= x <= self.wide and 0 <= y <= self.high:
            middle = {"ha": "center", "va": "center", "weight": "bold"}
            self.write(self.left + x, self.top + y, str(rank), 7.5, bbox={**disc, "alpha": 0.9}, **middle)

    @property
    def _height(self) -> float:
        return float(math.floor(self.figure.bbox.height))


def sheet(
    picture: ArrayLike,
    origin_px: tuple[float, float],
    scale: float,
    title: str,
    mpp_level0: float,
    side_in: float = BAR_IN,
    least_in: float = 0.0,
) -> Sheet:
    """A picture (h, w, 3), of bytes or in 0..1, with its title, frame and scale bar.

    `scale` is level-0 pixels per pixel of the picture. `side_in` inches are kept free on the right for a legend that is
    `least_in` inches high.
    """
    from matplotlib.figure import Figure

    image = as_bytes(np.asarray(picture))
    height, width = image.shape[:2]
    zoom = DPI * min(_WIDEST_IN / width, _HIGHEST_IN / height)
    wide, high = max(1, round(width * zoom)), max(1, round(height * zoom))
    room = max(wide, round(_NARROWEST_IN * DPI)), max(high, round(_NARROWEST_IN * DPI))
    lines = textwrap.wrap(title, int((room[0] / DPI + side_in) * 8.6), max_lines=2, placeholder=" …") or [""]
    margin, title_high = round(_MARGIN_IN * DPI), round((0.18 + 0.22 * len(lines)) * DPI)
    size = room[0] + round(side_in * DPI) + margin, max(room[1], round(least_in * DPI)) + title_high + margin
    figure = Figure(figsize=((size[0] + 0.1) / DPI, (size[1] + 0.1) / DPI), dpi=DPI, facecolor="white")
    left, top = margin + (room[0] - wide) // 2, title_high + (room[1] - high) // 2
    made = Sheet(figure, left, top, wide, high, origin_px, zoom / scale)
    made.lay(resized(image, (wide, high)), left, top)
    made.add(_boxes([(left, top, wide, high)], facecolors="none", edgecolors="black", linewidths=0.8), level0=False)
    made.write(margin, 0.08 * DPI, "\n".join(lines), 12.5, weight="bold", va="top", linespacing=1.1)
    _scale_bar(made, mpp_level0)
    return made


def nice_length(longest_um: float) -> tuple[float, str]:
    """The longest of 1, 2, 5, 10, … microns that is not above `longest_um`, and how it is written."""
    power = 10.0 ** math.floor(math.log10(longest_um))
    um = max(step * power for step in (1, 2, 5) if step * power <= longest_um * (1 + 1e-9))
    return um, f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} µm"


def legend(on: Sheet, names: Sequence[str], colours: ArrayLike, note: str = "") -> None:
    """Names (n) with their colours (n, 3) beside the picture, beneath a note."""
    left, y = on.left + on.wide + 0.1 * DPI, float(on.top)
    if note:
        lines = textwrap.wrap(note, 18)
        on.write(left, y, "\n".join(lines), va="top")
        y += (len(lines) * _LINE_IN + _GAP_IN) * DPI
    high, wide = 0.7 * _LETTERS * POINT, 2 * _LETTERS * POINT
    boxes = []
    for name in names:
        text = _wrapped(name)
        row = (text.count("\n") + 1) * _LINE_IN * DPI
        boxes.append((left, y + (row - high) / 2, wide, high))
        on.write(left + wide + 0.8 * _LETTERS * POINT, y + row / 2, text, va="center")
        y += row + _GAP_IN * DPI
    if boxes:
        on.add(_boxes(boxes, facecolors=np.asarray(colours), edgecolors="0.25", linewidths=0.5), level0=False)


def legend_height(names: Sequence[str]) -> float:
    """Inches that the legend of `names` takes."""
    return 0.1 + sum(0.19 * (_wrapped(name).count("\n") + 1) + 0.08 for name in names)


def colour_bar(
    on: Sheet,
    colours: NDArray[np.float64],
    limits: tuple[float, float],
    unit: str,
    values: NDArray[np.float64],
    note: str = "",
) -> None:
    """Colours (n, 3) from the lower limit to the upper beside the picture; pointed where `values` lie beyond them.

    `note` stands beneath.
    """
    from matplotlib.ticker import MaxNLocator

    length = round(min(max(on.high * 0.7, BAR_HIGH_IN * DPI), 3.2 * DPI))
    left, top, wide = on.left + on.wide + round(0.2 * DPI), on.top + round(0.1 * DPI), round(0.16 * DPI)
    low, high = limits
    known = values[np.isfinite(values)]
    arrow = round(_POINTED * length)
    first = top + arrow * bool((known > high).any())
    last = top + length - arrow * bool((known < low).any())
    rows = np.linspace(len(colours) - 1, 0, last - first).round().astype(int)
    on.lay(np.repeat(as_bytes(colours[rows])[:, None], wide, axis=1), left, first)
    _outline(on, (left, left + wide), (top, first, last, top + length), colours)
    ticks = [tick for tick in MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= tick <= high]
    places = [last - (tick - low) / (high - low) * (last - first) for tick in ticks]
    _ticks(on, places, _labels(ticks), left + wide, unit)
    on.write(left, top + length + 0.15 * DPI, "\n".join(textwrap.wrap(note, 15)), 9, va="top")


def _outline(on: Sheet, xs: tuple[int, int], ys: tuple[int, int, int, int], colours: NDArray[np.float64]) -> None:
    """The edge of a colour bar, with its arrows where the first and last of four heights lie beyond the middle two."""
    from matplotlib.collections import PolyCollection

    (left, right), (top, first, last, bottom) = xs, ys
    middle = (left + right) / 2
    upper, lower = ((left, first), (middle, top), (right, first)), ((right, last), (middle, bottom), (left, last))
    on.add(PolyCollection([upper, lower], facecolors=colours[[-1, 0]], edgecolors="none"), level0=False)
    on.add(PolyCollection([[*upper, *lower]], facecolors="none", edgecolors="black", linewidths=0.5), level0=False)


def _ticks(on: Sheet, places: Sequence[float], labels: Sequence[str], x: float, unit: str) -> None:
    """Marks with their numbers at the right of a colour bar, and its unit along them."""
    from matplotlib.collections import LineCollection

    out = 3.5 * POINT
    marks = [((x, y), (x + out, y)) for y in places]
    on.add(LineCollection(marks, colors="black", linewidths=0.8), level0=False)
    widest = 0.0
    for y, label in zip(places, labels, strict=True):
        on.write(x + 2 * out, y, label, va="center_baseline")
        widest = max(widest, len(label))
    edge = x + 2 * out + widest * 0.62 * _LETTERS * POINT  # digits of this font are that wide
    where = (min(places) + max(places)) / 2 if places else float(on.top)
    on.write(edge + 3 * POINT, where, textwrap.shorten(unit, 60), 11, rotation=90, va="center")


def _labels(ticks: Sequence[float]) -> list[str]:
    """Numbers in steps that need no more digits than they show."""
    if len(ticks) < 2:
        return [f"{tick:.3g}" for tick in ticks]
    step, largest = abs(ticks[1] - ticks[0]), max(map(abs, ticks))
    if not step > 1e-5 or largest >= 1e6:
        return [f"{tick:.6g}".replace("-", MINUS) for tick in ticks]
    decimals = next((n for n in range(8) if abs(step * 10**n - round(step * 10**n)) < 1e-3), 8)
    return [f"{tick:.{decimals}f}".replace("-", MINUS) for tick in ticks]


def _scale_bar(on: Sheet, mpp: float) -> None:
    """A bar of 1, 2 or 5 times a power of ten microns, about a fifth of the width, on a light ground."""
    from matplotlib.patches import FancyBboxPatch

    um, text = nice_length(on.wide / on.zoom * mpp / 4)
    length, thick, gap = um / mpp * on.zoom, _LETTERS * DPI / 300, 0.35 * _LETTERS * POINT
    wide, high = max(length, len(text) * 0.62 * _LETTERS * POINT), thick + 3 * POINT + 0.76 * _LETTERS * POINT
    left, top = on.left + 0.5 * _LETTERS * POINT, on.top + on.high - 0.5 * _LETTERS * POINT - high - 2 * gap
    figure_high = math.floor(on.figure.bbox.height)
    ground = FancyBboxPatch(
        (left, figure_high - top - high - 2 * gap), wide + 2 * gap, high + 2 * gap, facecolor="white", alpha=0.85,
        linewidth=0, boxstyle="round,pad=0,rounding_size=4", transform=None, zorder=5,  # above entities
    )  # fmt: skip
    on.figure.add_artist(ground)
    start = left + gap + (wide - length) / 2
    bar = _boxes([(start, top + gap, length, thick)], facecolors="black", edgecolors="none", zorder=6)
    on.add(bar, level0=False)
    on.write(left + gap + wide / 2, top + gap + thick + 3 * POINT, text, ha="center", va="top", zorder=6)


def _boxes(boxes: Sequence[tuple[float, float, float, float]], **look: Any) -> Collection:
    """Rectangles of left, top, width and height."""
    from matplotlib.collections import PolyCollection

    return PolyCollection([[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for x, y, w, h in boxes], **look)


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 17, max_lines=3, placeholder=" …"))
