"""`hmgdm doctor`: does this installation work, and if not, what to do about it."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path

from .schema.errors import HmgdmError

INSTALL = "run: .venv/bin/pip install -c constraints.txt -e ."
LOADED = (
    "torch",
    "torch_geometric",
    "numba",
    "scipy",
    "skimage",
    "shapely",
    "h5py",
    "imagecodecs",
    "safetensors.torch",
)
LEAST_PYTHON = (3, 11)
LEAST_FREE_GB = 2.0


@dataclass(frozen=True)
class Check:
    """One line of the doctor; `fix` is empty where nothing is wrong."""

    name: str
    found: str
    fix: str = ""
    optional: bool = False


def doctor(as_json: bool = False) -> int:
    """Print every check; 0 if all that is needed works, 1 otherwise."""
    checks = []
    for each in (_python, _packages, _compiled, _readers, _device, _cache, _disk, _coordinates, _models, _qupath):
        for check in _guarded(each):
            checks.append(check)
            if not as_json:
                _print(check)
    healthy = not any(check.fix and not check.optional for check in checks)
    if as_json:
        print(json.dumps({"ok": healthy, "checks": [asdict(check) for check in checks]}, indent=2))
    return 0 if healthy else 1


def _guarded(checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """A package that does not load, or our own error, is a finding and not the end of the doctor."""
    name = checks.__name__.lstrip("_")
    try:
        yield from checks()
    except HmgdmError as error:
        yield Check(name, error.problem, error.fix)
    except (ImportError, OSError) as error:
        yield Check(name, f"{type(error).__name__}: {error}", INSTALL)


def _print(check: Check) -> None:
    mark = "ok" if not check.fix else "-" if check.optional else "FAIL"
    found = textwrap.fill(check.found, 96, subsequent_indent=" " * 21, break_long_words=False)
    print(f"{mark:<5} {check.name:<14} {found}", flush=True)
    if check.fix:
        print(f"{'':<20} fix: {check.fix}", flush=True)


def _python() -> Iterator[Check]:
    found = sys.version.split()[0]
    yield Check("Python", found, "" if sys.version_info >= LEAST_PYTHON else "install Python 3.11 or later")


def _packages() -> Iterator[Check]:
    """Every dependency is there; versions are told, ranges are pip's business."""
    found, missing = [], []
    for requirement in metadata.requires("hmgdm-plugin") or []:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if "extra ==" in requirement:
            continue
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    yield Check("packages", ", ".join(found))
    if missing:
        yield Check("packages", f"not installed: {', '.join(missing)}", INSTALL)


def _compiled() -> Iterator[Check]:
    for name in LOADED:
        importlib.import_module(name)
    yield Check("libraries", f"{len(LOADED)} compiled packages load")


def _readers() -> Iterator[Check]:
    yield Check("tiffslide", importlib.import_module("tiffslide").__version__)
    openslide = importlib.import_module("openslide")
    yield Check("openslide", f"{openslide.__version__}, library {openslide.__library_version__}")


def _device() -> Iterator[Check]:
    import torch

    from .zoo.load import choose_device

    device = choose_device("auto")
    kind = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    yield Check("device", f"{device.type}{kind}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")


def _cache() -> Iterator[Check]:
    """Where numba keeps compiled functions; without any such place they cannot even start."""
    from .graph.compiled import cache_places

    places = cache_places()
    for place in places:
        if os.access(_nearest(place), os.W_OK):
            yield Check("cache", f"compiled functions go to {place}")
            return
    yield Check("cache", f"{places[-1]} cannot be written", "set NUMBA_CACHE_DIR to a folder that you can write")


def _nearest(place: Path) -> Path:
    """`place`, or the folder above it that exists."""
    return next(each for each in (place, *place.absolute().parents) if each.exists())


def _disk() -> Iterator[Check]:
    for name, place in (("disk", Path.cwd()), ("temporary", Path(tempfile.gettempdir()))):
        free_gb = shutil.disk_usage(place).free / 1e9
        enough = free_gb >= LEAST_FREE_GB and os.access(place, os.W_OK)
        fix = "" if enough else f"free {LEAST_FREE_GB:g} GB there, or work in a folder that you can write"
        yield Check(name, f"{free_gb:.0f} GB free at {place}", fix)


def _coordinates() -> Iterator[Check]:
    """A tile of a slide that QuPath crops, written for QuPath and read back."""
    import numpy as np
    import shapely

    from .qupath.geojson import Feature, read_regions, write_features
    from .qupath.ids import object_id, run_tag
    from .schema.space import Frame, Tile

    frame = Frame(40_000, 60_000, 0.2425, (1_237, 2_048, 30_001, 40_003))
    tile = Tile(12_345.678, 23_456.789, 527.8351, 256, 0.5)
    corners = tile.to_slide(np.array([[0, 0], [256, 0], [256, 256], [0, 256]], float))
    feature = Feature(
        object_id(run_tag("doctor"), "s", "tile", "0"), shapely.Polygon(corners), "tile", "", None, None, {}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tile.geojson.gz"
        write_features(path, [feature], frame)
        regions, _ = read_regions(path, frame)
    points = shapely.points(shapely.get_coordinates(regions[0]))
    off_px = float(max(shapely.distance(shapely.Point(corner), points).min() for corner in corners))
    fix = "" if off_px <= 0.01 else "report this: overlays would be misplaced"
    yield Check("coordinates", f"slide to QuPath and back within {off_px:.4f} px", fix)


def _models() -> Iterator[Check]:
    from .models import verify_model
    from .zoo.load import PLACES, installed

    models = installed()
    if not models:
        yield Check("models", "none found", f"set {PLACES} to the folder that holds the models")
    for name, folder in models.items():
        try:
            found = verify_model(str(folder))
        except HmgdmError as error:
            yield Check(f"model {name}", error.problem, error.fix)
        else:
            yield Check(f"model {name}", f"{found['digest'][:12]}, test vector {found['test vector']}")


def _qupath() -> Iterator[Check]:
    """What exchanges with QuPath directly; GeoJSON files need none of it."""
    from .qupath.java import scripts_folder

    asked = os.environ.get("PAQUO_QUPATH_DIR", "")
    found = asked if asked and Path(asked).is_dir() else shutil.which("QuPath") or ""
    missing = "not installed (optional)"
    yield Check("QuPath menu", f"{scripts_folder() / 'install_menu.groovy'}: run it once from QuPath's script editor")
    fix = "" if found else "install QuPath 0.5 or later, and set PAQUO_QUPATH_DIR to its folder"
    yield Check("QuPath", found or missing, fix, optional=True)
    if util.find_spec("paquo"):
        yield Check("paquo", metadata.version("paquo"), optional=True)
    else:
        yield Check("paquo", missing, 'run: .venv/bin/pip install -c constraints.txt -e ".[qupath]"', optional=True)
