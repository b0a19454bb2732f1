"""`hmgdm models`: list, show and verify the models on this machine, add one's own."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from .schema.errors import HmgdmError, InputError
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


def add_model(folder: Path, name: str, mpp: float | None) -> dict[str, str]:
    """Make a StarDist model, a folder that the stardist package wrote, one of the models on this machine.

    Parameters
    ----------
    folder : Path
        Holds config.json, weights_best.h5 and, if they were chosen, thresholds.json.
    name : str
        Its name here; empty: that of the folder.
    mpp : float or None
        Microns per pixel of the images that it was trained on; stardist does not keep it.

    Raises
    ------
    InputError
        No pixel size, a name that does not work or is taken, or a folder that does not hold such a model.
    """
    from .nuclei.keras import read_config, read_thresholds, read_weights
    from .nuclei.network import StarDistNetwork
    from .schema.nuclei import DetectorSettings
    from .schema.parsing import parse
    from .zoo.card import NucleiCard
    from .zoo.detector import save_stardist
    from .zoo.load import own_models

    if mpp is None:
        raise InputError(f"{folder}: stardist does not keep the pixel size", "give --mpp, that of its training images")
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder", "give the folder that stardist wrote, with config.json")
    network = StarDistNetwork(read_config(folder))
    network.load_state_dict(read_weights(folder, network.settings))
    probability, overlap = read_thresholds(folder)
    name = name or re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    thresholds = {"prob_threshold": probability, "nms_threshold": overlap}
    detector = parse({"mpp": mpp, **thresholds, "network": network.settings}, DetectorSettings, "models add")
    card = parse({**_unknown(folder, name), "detector": detector}, NucleiCard, "models add")
    if name in installed():
        raise InputError(f"{name}: is the name of {installed()[name]}", "give another --name")
    return {"model": str(save_stardist(own_models() / name, card, network)), "name": name}


def _unknown(folder: Path, name: str) -> dict[str, Any]:
    """Words of a card about a model of which nothing but its files is known."""
    return {
        "name": name,
        "version": "unknown",
        "title": f"{folder.resolve().name} (StarDist, added)",
        "description": "A StarDist model added on this machine.",
        "created": time.strftime("%Y-%m-%d"),
        "licence": "not stated",
        "intended_use": "As its makers say. Not for diagnosis.",
        "limits": ("What it learnt from, and how well it does, is not known here.",),
    }
