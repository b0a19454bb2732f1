"""`hmgdm models`: list, show and verify the models on this machine, add one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .schema.errors import HmgdmError
from .zoo.card import Card, kind_of, read_any_card
from .zoo.digest import verify
from .zoo.load import find, installed


def list_models(as_json: bool) -> None:
    """Print every model with its version, digest and heads; a damaged one with what is wrong."""
    rows = [_row(name, folder) for name, folder in installed().items()]
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        print(row.get("problem") or f"{row['name']}  {row['version']}  {row['digest'][:12]}  {row['title']}")
        for head in row.get("heads", ()):
            what = ", ".join(each["name"] for each in head["classes"]) or head["unit"] or "number"
            print(f"  {'*' if head['default'] else ' '} {head['name']:<24} {head['title']} ({what})")
        if row.get("kind") == "nuclei":
            print(f"    nuclei, at {row['mpp']:g} microns per pixel")
    print(
        "* computed unless --heads says otherwise" if rows else "none; set HMGDM_MODELS to the folder that holds them"
    )


def _row(name: str, folder: Path) -> dict[str, Any]:
    """What a menu needs to know about one model."""
    try:
        digest, card = verify(folder), read_any_card(folder)
    except HmgdmError as error:
        return {"name": name, "folder": str(folder), "problem": error.problem, "fix": error.fix}
    about = {
        "name": name,
        "kind": card.kind,
        "version": card.version,
        "title": card.title,
        "folder": str(folder),
        "digest": digest,
    }
    if isinstance(card, Card):
        heads = [head.model_dump(mode="json") for head in card.head]
        return {**about, "mpp": card.graph.mpp, "tile_px": card.graph.tile_px, "heads": heads}
    return {**about, "mpp": card.detector.mpp, "tile_px": card.detector.tile_px}


def show_model(name: str) -> None:
    """Print the card of the model `name` as Markdown, then its folder and digest."""
    from .zoo.page import page

    folder = find(name)
    digest = verify(folder)
    print(page(read_any_card(folder)))
    print(f"Folder: {folder}\nDigest: {digest}")


def verify_model(name: str) -> dict[str, str]:
    """Check the files of the model `name` and its test vector on this machine.

    Raises
    ------
    HmgdmError
        A file was changed, or this machine computes something else than the model's makers did.
    """
    from .zoo.vector import TOLERANCE

    folder = find(name)
    digest = verify(folder)
    deviation = _deviation(folder)
    if not deviation <= TOLERANCE:
        problem = f"{folder}: the test vector deviates by {deviation:.2g}, allowed is {TOLERANCE:g}"
        raise HmgdmError(problem, "install the versions in constraints.txt, then run hmgdm doctor")
    return {"model": str(folder), "digest": digest, "test vector": f"agrees within {deviation:.1e}"}


def _deviation(folder: Path) -> float:
    """How far the model in `folder` is from its test vector; its files were checked."""
    if kind_of(folder) == "nuclei":
        from .zoo.detector import check_stardist

        return check_stardist(folder)
    from .zoo.load import load
    from .zoo.vector import check_test_vector

    return check_test_vector(load(folder))
