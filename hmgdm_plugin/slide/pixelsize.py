"""Microns per pixel: what a file says, and whether it can be believed.

Resolution tags of ordinary images (72, 96, 300 dpi) are about printing, never a pixel size. What is believed, in
this order: OME-XML, ImageJ's calibration, the scanner's own field, resolution tags of a tiled TIFF where they fall
into the range of microscopes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ..schema.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tifffile import TiffFile, TiffPage

LOWEST, HIGHEST = 0.05, 20.0  # microns per pixel of any light microscope's slide
COARSE = 1.4  # times the pixels that a model learnt from
MICRONS = {"nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
RESOLUTION_UNITS = {2: 25400.0, 3: 10000.0}  # TIFF's inch and centimetre, in microns


def settle(path: Path, found: tuple[float, float] | None, asked: float | None) -> tuple[float, list[str]]:
    """Decide on the microns per pixel of a slide.

    Parameters
    ----------
    path : Path
        For the messages.
    found : (x, y) or None
        What the file says, in microns per level-0 pixel.
    asked : float or None
        What the user says (``--mpp``); it wins.

    Returns
    -------
    float, list of str
        Microns per pixel, and what the user should know about it.

    Raises
    ------
    InputError
        Nobody says, or the value is outside 0.05 to 20 microns.
    """
    if asked is not None:
        return _plausible(path, asked, f"give --mpp between {LOWEST} and {HIGHEST:g}"), _overridden(path, found, asked)
    if found is None:
        raise InputError(f"{path.name}: no microns per pixel", "pass --mpp (about 0.25 at 40x, 0.5 at 20x)")
    mpp = _plausible(path, sum(found) / 2, "give the full-resolution slide, or pass --mpp if the file is wrong")
    if abs(found[0] - found[1]) <= 0.01 * mpp:
        return mpp, []
    return mpp, [f"{path.name}: {found[0]:.4g} x {found[1]:.4g} microns per pixel, not square; {mpp:.4g} used for both"]


def _plausible(path: Path, mpp: float, fix: str) -> float:
    if not LOWEST <= mpp <= HIGHEST:  # also true of NaN
        raise InputError(f"{path.name}: {mpp:.4g} microns per pixel cannot be a slide's", fix)
    return mpp


def _overridden(path: Path, found: tuple[float, float] | None, asked: float) -> list[str]:
    if found is None or abs(sum(found) / 2 - asked) <= 0.05 * asked:
        return []
    return [f"{path.name}: --mpp {asked:g} used instead of the file's {sum(found) / 2:.4g} microns per pixel"]


def coarse(path: Path, mpp: float, learnt: float) -> list[str]:
    """What to know of a slide whose pixels are larger than those that a model learnt from; empty for others."""
    if mpp < COARSE * learnt:
        return []
    said = f"{path.name}: {mpp:.3g} microns per pixel, the model learnt from {learnt:g}: nuclei are missed, counts come"
    return [f"{said} out too low and areas too large; scan it finer, or check the pixel size"]


def of_tiff(tif: TiffFile, properties: Mapping[str, Any]) -> tuple[float, float] | None:
    """Microns per pixel (x, y) that a TIFF declares, or None.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    properties : mapping
        tiffslide's properties of an Aperio slide; empty for others.
    """
    page = tif.pages.first
    if tif.ome_metadata:
        return of_ome(tif.ome_metadata, page.imagewidth, page.imagelength)
    if tif.imagej_metadata:
        return _of_tags(page, MICRONS.get(_imagej_unit(tif.imagej_metadata)))
    if properties.get("aperio.MPP"):
        mpp = float(properties["aperio.MPP"])
        return mpp, mpp
    found = _of_tags(page, _resolution_unit(page)) if page.is_tiled else None
    return found if found and all(LOWEST <= mpp <= HIGHEST for mpp in found) else None


def of_ome(xml: str, width_px: int, height_px: int) -> tuple[float, float] | None:
    """Microns per pixel (x, y) in OME-XML: of the image of this size, else of the first; None where it has none."""
    try:
        pixels = list(ElementTree.fromstring(xml).iterfind("{*}Image/{*}Pixels"))
    except ElementTree.ParseError:
        return None
    size = (str(width_px), str(height_px))
    pixels.sort(key=lambda each: (each.get("SizeX"), each.get("SizeY")) != size)  # stable: the first stays first
    x_um = _ome_length(pixels[0], "X") if pixels else None
    y_um = _ome_length(pixels[0], "Y") if pixels else None
    return (x_um or y_um or 0.0, y_um or x_um or 0.0) if x_um or y_um else None


def _ome_length(pixels: ElementTree.Element, axis: str) -> float | None:
    size = pixels.get(f"PhysicalSize{axis}")
    scale = MICRONS.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    try:
        return float(size) * scale if size and scale else None
    except ValueError:
        return None


def _imagej_unit(metadata: Mapping[str, Any]) -> str:
    """ImageJ's length unit; it spells the micro sign as an escape."""
    return str(metadata.get("unit", "")).replace("\\u00B5", "µ")


def _resolution_unit(page: TiffPage) -> float | None:
    tag = page.tags.get("ResolutionUnit")
    return RESOLUTION_UNITS.get(int(tag.value)) if tag else None


def _of_tags(page: TiffPage, unit_um: float | None) -> tuple[float, float] | None:
    """Pixel size from the resolution tags (pixels per unit, a fraction each)."""
    tags = [page.tags.get("XResolution"), page.tags.get("YResolution")]
    if unit_um is None or None in tags:
        return None
    pairs = [tag.value for tag in tags if tag is not None]
    if not all(numerator > 0 and denominator > 0 for numerator, denominator in pairs):
        return None
    x_um, y_um = (unit_um * denominator / numerator for numerator, denominator in pairs)
    return x_um, y_um
