"""Colours of classes and clusters, the same in QuPath, in pictures and in the report.

The palette starts with the colours of Okabe and Ito (Color Universal Design, 2008) without their reddish purple,
which vanishes on eosin, and goes on with dark ones. Any two stay apart by at least 11 in CIEDE2000 for normal,
deuteranope and protanope eyes, and none lies near the pinks and purples of H&E for normal ones.
"""

from __future__ import annotations

import colorsys
import hashlib

RGB = tuple[int, int, int]

PALETTE: tuple[RGB, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (100, 0, 0),
    (240, 228, 66),
    (213, 94, 0),
    (86, 180, 233),
    (0, 0, 70),
    (110, 110, 110),
    (0, 60, 50),
)


def palette(count: int) -> list[RGB]:
    """Colours of `count` clusters in a fixed order: the first ones never change when clusters are added."""
    return [PALETTE[i] if i < len(PALETTE) else stable_rgb(f"cluster {i}") for i in range(count)]


def stable_rgb(name: str) -> RGB:
    """A colour for a class that has none: it depends on the name only and is never a pink or purple of H&E."""
    digest = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    hue = (20 + 205 * int.from_bytes(digest[:2], "big") / 65535) / 360  # orange over green to blue
    lightness = (0.30, 0.42, 0.54)[digest[2] % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)
