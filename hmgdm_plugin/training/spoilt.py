"""Tiles spoilt on purpose, as slides are spoilt in practice: what a measure of novelty has to notice.

Sizes are for images of 0.5 microns per pixel; the same generator gives the same images.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Spoil = Callable[[Image, np.random.Generator], Image]
INKS = ((20, 60, 160), (10, 110, 60), (25, 25, 25), (160, 20, 30))  # markers: blue, green, black, red


def blurred(sigma_px: float) -> Spoil:
    """Out of focus."""

    def spoil(rgb: Image, rng: np.random.Generator) -> Image:
        from scipy import ndimage

        return _bytes(ndimage.gaussian_filter(rgb.astype(np.float32), (sigma_px, sigma_px, 0)))

    return spoil


def inverted(rgb: Image, rng: np.random.Generator) -> Image:
    """A negative."""
    return np.asarray(255 - rgb, np.uint8)


def turned(degrees: float) -> Spoil:
    """Another stain: all hues turned on the colour circle."""

    def spoil(rgb: Image, rng: np.random.Generator) -> Image:
        from skimage.color import hsv2rgb, rgb2hsv

        hsv = rgb2hsv(rgb)
        hsv[..., 0] = (hsv[..., 0] + degrees / 360) % 1
        return _bytes(hsv2rgb(hsv) * 255)

    return spoil


def crushed(quality: int) -> Spoil:
    """Compressed as JPEG of that quality."""

    def spoil(rgb: Image, rng: np.random.Generator) -> Image:
        from PIL import Image as Pillow

        stream = io.BytesIO()
        Pillow.fromarray(rgb).save(stream, "JPEG", quality=quality)
        return np.asarray(Pillow.open(stream).convert("RGB"))

    return spoil


def marked(rgb: Image, rng: np.random.Generator) -> Image:
    """Crossed by a pen: a stroke of 35 to 60 microns, in one of four inks, that lets a little through."""
    ink = np.array(INKS[rng.integers(len(INKS))]) / 255
    size_px = len(rgb)
    y, x = np.mgrid[:size_px, :size_px] - size_px / 2
    angle, aside, half_px = rng.uniform(0, np.pi), rng.uniform(-0.2, 0.2) * size_px, rng.uniform(35, 60)
    away = np.abs(x * np.sin(angle) - y * np.cos(angle) - aside)
    cover = 0.85 * np.clip((half_px - away) / 3, 0, 1)[..., None]
    return _bytes(rgb * (1 - cover + cover * ink))


def glass(rgb: Image, rng: np.random.Generator) -> Image:
    """Nothing but the slide."""
    white = rng.uniform(232, 246) + rng.uniform(-3, 3, 3)
    return _bytes(white + rng.normal(0, 1.5, rgb.shape))


def noisy(deviation: float) -> Spoil:
    """Under a noisy camera."""

    def spoil(rgb: Image, rng: np.random.Generator) -> Image:
        return _bytes(rgb + rng.normal(0, deviation, rgb.shape))

    return spoil


def grey(rgb: Image, rng: np.random.Generator) -> Image:
    """Without colour."""
    return np.repeat(_bytes(rgb @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=2)


def magnified(rgb: Image, rng: np.random.Generator) -> Image:
    """Read at half its pixel size: everything twice as large."""
    from PIL import Image as Pillow

    size_px = len(rgb)
    middle = rgb[size_px // 4 : size_px * 3 // 4, size_px // 4 : size_px * 3 // 4]
    return np.asarray(Pillow.fromarray(middle).resize((size_px, size_px), Pillow.Resampling.BICUBIC))


SPOILT: Mapping[str, Spoil] = {
    "blurred, sigma 0.5 µm": blurred(1),
    "blurred, sigma 1 µm": blurred(2),
    "blurred, sigma 2 µm": blurred(4),
    "inverted": inverted,
    "hues turned by 60°": turned(60),
    "hues turned by 180°": turned(180),
    "marked by a pen": marked,
    "JPEG, quality 10": crushed(10),
    "JPEG, quality 5": crushed(5),
    "noise, deviation 25": noisy(25),
    "without colour": grey,
    "twice as large": magnified,
    "glass": glass,
}


def _bytes(values: NDArray[np.floating]) -> Image:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
