"""Compile the graph kernels beside everything else that a first run has to do.

numba compiles one function at a time in a process, which takes ten seconds the first time and blocks it. Two
processes with half of the kernels each fill numba's cache on disk while the caller still imports torch and loads its
model; afterwards every process finds the kernels there. A third compiles those of nuclei, for who asks for nuclei.

    python -m hmgdm_plugin.graph.compiled PART
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HALVES, NUCLEI = ("pixels", "entities"), "nuclei"
LAST = {"pixels": "texture", "entities": "outlines", NUCLEI: "nuclei._strips"}  # module or kernel that comes last
_running: dict[str, subprocess.Popen[bytes]] = {}
_open: list[bool] = []  # one entry for each `compiling` block that the caller is in


def cache_places() -> list[Path]:
    """Folders where numba may keep compiled functions, the first that can be written wins."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    return [Path(named)] if named else [Path(__file__).parent / "__pycache__", Path.home() / ".cache" / "numba"]


def missing(parts: Iterable[str] = HALVES) -> list[str]:
    """Those of `parts` whose kernels no cache holds, or only from an older source."""
    return [part for part in parts if not _fresh(LAST[part])]


def _fresh(last: str) -> bool:
    changed = Path(__file__).with_name(f"{last.partition('.')[0]}.py").stat().st_mtime
    found = (path for place in cache_places() for path in place.glob(f"**/{last}*.nbi"))
    return any(path.stat().st_mtime >= changed for path in found)


@contextmanager
def compiling(parts: Iterable[str] = HALVES) -> Iterator[None]:
    """Start to compile what is missing; whoever needs it inside calls `wait` first. Nothing outlives the block."""
    _open.append(True)
    start(parts)
    try:
        yield
    finally:
        _open.pop()
        for process in _running.values():
            process.kill()
            process.communicate()
        _running.clear()


def start(parts: Iterable[str]) -> None:
    """Compile `parts` too, inside a `compiling` block; elsewhere nobody would end what is started."""
    for part in missing(parts) if _open else ():
        if part not in _running:
            code, nothing = [sys.executable, "-m", __name__, part], subprocess.DEVNULL
            _running[part] = subprocess.Popen(code, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing)


def wait(parts: Iterable[str] = tuple(LAST)) -> None:
    """Return when the started ones of `parts` are done; a failed one costs time only, the caller compiles by itself."""
    for part in parts:
        if part in _running:
            _running[part].wait()


def _pixels() -> None:
    from .adjacency import regions
    from .colour import blur, planes_of
    from .descriptors import planes_for
    from .superpixels import slic
    from .windows import cut_windows

    rgb, labels = _example()
    planes = planes_of(rgb)
    slic(blur(planes[:3], 1.0), 16, 20.0, 2)
    cut_windows(rgb, regions(labels, 4), 48, 32, (0, 0, 0))
    planes_for(rgb, planes)


def _entities() -> None:
    import numpy as np

    from ..schema.space import Tile
    from .adjacency import bands, edge_list, regions
    from .descriptors import describe
    from .merging import merge
    from .outlines import outlines

    rgb, labels = _example()
    merge(rgb, labels, 4, 0.04, 150)
    edges = edge_list(labels, 4)
    smooth, coded = np.zeros((12, 64, 64), np.float32), np.zeros((2, 64, 64), np.uint8)
    for members in (regions(labels, 4), bands(labels, edges, 4, 5)):
        describe(smooth, coded, members)
    outlines(labels, 4, Tile(0.0, 0.0, 64.0, 64, 0.5))


def _nuclei() -> None:
    import numpy as np
    import shapely

    from ..schema.settings import GraphSettings
    from ..schema.space import Tile
    from .nuclei import burned, joined

    _, labels = _example()
    near = shapely.box(np.array([10, 30]), 20, np.array([20, 40]), 30)
    joined(burned(near, Tile(0.0, 0.0, 64.0, 64, 0.5)), labels, 4, GraphSettings())


def _example() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Noise, and four stripes as its entities."""
    import numpy as np

    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return rgb, np.arange(64 * 64, dtype=np.int32).reshape(64, 64) // 1024


def _follow() -> None:
    """End this process when the one that started it has ended, even by force: its end of the pipe closes then."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_follow, daemon=True).start()
    {"pixels": _pixels, "entities": _entities, NUCLEI: _nuclei}[sys.argv[1]]()
