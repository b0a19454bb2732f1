"""Object ids that say whose an object is, which recipe made it, and that never change for the same input.

Layout of the 128 bits, a UUID of version 8: ``484d4744-RRRR-8RRR-bNNN-NNNNNNNNNNNN``, where ``484d4744`` spells
"HMGD", the seven R digits are the tag of the recipe (28 bits) and the fifteen N digits follow from slide, kind and
key (60 bits). The viewer's scripts find, replace and remove our objects by these digits alone.
"""

from __future__ import annotations

import hashlib
import uuid

_MAGIC = 0x484D4744
_VERSION = 0x8
_VARIANT = 0xB  # 0b1011: the two RFC 9562 variant bits, then two bits that are always set


def run_tag(*parts: str) -> int:
    """Tag of a recipe: the same parts, in the same order, give the same tag on every machine.

    Parameters
    ----------
    *parts : str
        What makes results comparable: digest of the model, verb, settings.

    Returns
    -------
    int
        28 bits.
    """
    return _digest(parts) >> (256 - 28)


def object_id(tag: int, slide: str, kind: str, key: str) -> uuid.UUID:
    """Id of one object of the recipe `tag`.

    Parameters
    ----------
    tag : int
        From `run_tag`.
    slide : str
        Fingerprint of the slide.
    kind : str
        ``"tile"``, ``"entity"`` and so on: two kinds never share an id.
    key : str
        What tells the object from its like on this slide, such as the tile's position and the entity's number.

    Raises
    ------
    ValueError
        `tag` has more than 28 bits.
    """
    if not 0 <= tag < 1 << 28:
        raise ValueError(f"tag {tag} does not fit into 28 bits")
    high = (_MAGIC << 32) | ((tag >> 12) << 16) | (_VERSION << 12) | (tag & 0xFFF)
    low = (_VARIANT << 60) | (_digest((slide, kind, key)) >> (256 - 60))
    return uuid.UUID(int=(high << 64) | low)


def is_ours(id: uuid.UUID | str) -> bool:
    """Whether an object with this id was made by us; text that is no UUID is not ours."""
    found = _parsed(id)
    return found is not None and found.int >> 96 == _MAGIC and found.version == _VERSION


def tag_of(id: uuid.UUID | str) -> int:
    """Tag of the recipe that made the object.

    Raises
    ------
    ValueError
        The id is not ours.
    """
    found = _parsed(id)
    if found is None or not is_ours(found):
        raise ValueError(f"{id} is not an id of H-MGDM")
    high = found.int >> 64
    return ((high >> 16 & 0xFFFF) << 12) | (high & 0xFFF)


def _parsed(id: uuid.UUID | str) -> uuid.UUID | None:
    if isinstance(id, uuid.UUID):
        return id
    try:
        return uuid.UUID(id)
    except ValueError:
        return None


def _digest(parts: tuple[str, ...]) -> int:
    """256 bits of `parts`; lengths are hashed too, so that ``("ab", "c")`` and ``("a", "bc")`` differ."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        whole.update(len(raw).to_bytes(8, "big") + raw)
    return int.from_bytes(whole.digest(), "big")
