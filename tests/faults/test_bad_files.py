"""Files with random damage: each ends in our own sentence or in a result, never in a traceback, a hang or a crash."""

from __future__ import annotations

import gzip
import json
import os
import queue
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.qupath.features import FeatureFile, attributes_of
from hmgdm_plugin.schema.space import Tile

REPO = Path(__file__).resolve().parents[2]
LONGEST_S = 60.0
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX limits")


def damaged(raw: bytes, chance: random.Random) -> bytes:
    """`raw` with bytes flipped, cut off, repeated, zeroed, or swapped for others that mean something."""
    data = bytearray(raw)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(min(len(data), chance.choice((64, 1024, len(data)))))  # headers more often
        length = chance.randrange(1, 40)
        how = chance.randrange(6)
        if how < 2:
            data[at] ^= 1 << chance.randrange(8)
        elif how == 2:
            data[at : at + length] = bytes(min(length, len(data) - at))
        elif how == 3:
            data[at:at] = data[at : at + length]
        elif how == 4:
            data[at : at + 4] = chance.choice(
                (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"1e99", b"null", b"\0\0\0\x80", b'"]}[')
            )
        elif chance.random() < 0.3:
            del data[at + 1 :]
        else:
            del data[at : at + length]
        if not data:
            return b""
    return bytes(data)


@pytest.fixture(name="samples")
def _samples(
    tmp_path: Path,
    pyramid_slide: Path,
    ome_slide: Path,
    bounds_slide: Path,
    stained: NDArray[np.uint8],
    saved_model: Path,
) -> dict[str, list[bytes]]:
    """Good files of every kind."""
    Image.fromarray(stained[:200, 200:400]).save(tmp_path / "a.png")
    Image.fromarray(stained[:200, 200:400]).save(tmp_path / "a.jpg")
    slides = (pyramid_slide, ome_slide, bounds_slide, tmp_path / "a.png", tmp_path / "a.jpg")
    square = [[[10, 10], [700, 10], [700, 700], [10, 700], [10, 10]]]
    feature = {
        "type": "Feature",
        "properties": {"objectType": "annotation"},
        "geometry": {"type": "Polygon", "coordinates": square},
    }
    regions = json.dumps({"type": "FeatureCollection", "features": [feature] * 3}).encode()
    tile = Tile(0.0, 0.0, 96.0, 96, 0.5)
    with FeatureFile(tmp_path / "f.h5", attributes_of(tile, 600, 600, "s", "e")) as file:
        for number in range(5):
            ids = [UUID(int=number * 10 + k) for k in range(4)]
            corner = Tile(96.0 * number, 0.0, 96.0, 96, 0.5)
            file.add(
                corner,
                ids[0],
                np.ones(8, np.float32),
                ids[1:],
                np.zeros((3, 2), np.float32),
                np.zeros(3, np.uint8),
                np.ones((3, 8), np.float32),
            )
    server = {
        "builderType": "uri",
        "uri": "file:/slides/a.svs",
        "args": ["--series", "0"],
        "metadata": {"pixelCalibration": {"pixelWidth": {"value": 0.5, "unit": "µm"}}},
    }
    project = {
        "version": "0.5.1",
        "uri": "file:/p/project.qpproj",
        "images": [{"serverBuilder": server, "entryID": 1, "imageName": "a"}] * 2,
    }
    return {
        "tiff": [path.read_bytes() for path in slides],
        "geojson": [regions, gzip.compress(regions, mtime=0)],
        "hdf5": [(tmp_path / "f.h5").read_bytes()],
        "toml": [(saved_model / "card.toml").read_bytes(), (REPO / "model_zoo/recipes/hmgdm-small.toml").read_bytes()],
        "safetensors": [(saved_model / "weights.safetensors").read_bytes()],
        "table": [b"slide_id,path,mpp\na,b.svs,0.5\n\"c, d\",e.tif,\n"],
        "project": [json.dumps(project).encode()],
    }  # fmt: skip


class _Reader:
    """A process that reads bad files; a new one after a crash or a hang."""

    def __init__(self, environment: Mapping[str, str], place: Path) -> None:
        self._environment, self._place = environment, place
        self._process: subprocess.Popen[str] | None = None

    def ask(self, kind: str, path: Path) -> str:
        """How reading `path` ended."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("readers.py"))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True, env=dict(self._environment), cwd=self._place,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{kind} {path}\n")
        process.stdin.flush()
        timer = threading.Timer(LONGEST_S, process.kill)
        timer.start()
        answer = process.stdout.readline().rstrip("\n")
        late = not timer.is_alive()
        timer.cancel()
        if not answer:
            process.wait()
            self._process = None
            return "hang" if late else f"crash {process.returncode}"
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _read_all(jobs: Sequence[tuple[str, Path]], environment: Mapping[str, str], place: Path) -> dict[Path, str]:
    """Two readers side by side."""
    todo: queue.SimpleQueue[tuple[str, Path]] = queue.SimpleQueue()
    answers: dict[Path, str] = {}

    def loop() -> None:
        reader = _Reader(environment, place)
        while True:
            try:
                kind, path = todo.get_nowait()
            except queue.Empty:
                break
            answers[path] = reader.ask(kind, path)
        reader.close()

    for job in jobs:
        todo.put(job)
    threads = [threading.Thread(target=loop) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_damaged_files_end_in_a_sentence_or_a_result(
    samples: dict[str, list[bytes]],
    saved_model: Path,
    environment: dict[str, str],
    tmp_path: Path,
    size: Callable[[int, int], int],
    count: Callable,
) -> None:
    folder, jobs, each = tmp_path / "in", [], size(6, 150)
    folder.mkdir()
    (tmp_path / "cwd").mkdir()
    for kind, good in samples.items():
        chance = random.Random(kind)
        for number in range(each):
            whole = good[number % len(good)]
            path = folder / f"{number:04d}.{kind}"
            path.write_bytes(whole if number < len(good) else damaged(whole, chance))
            jobs.append((kind, path))
    answers = _read_all(jobs, {**environment, "HMGDM_TINY": str(saved_model)}, tmp_path / "cwd")
    ends = Counter(f"{path.suffix[1:]} {answer.split(' ', 1)[0]}" for path, answer in answers.items())
    bad = {path.name: answer for path, answer in answers.items() if not answer.startswith(("result", "refused"))}
    assert not bad, "\n".join(f"{name}: {answer[-300:]}" for name, answer in sorted(bad.items()))
    good = [answers[folder / f"{number:04d}.{kind}"] for kind in samples for number in range(len(samples[kind]))]
    assert set(good) == {"result"}, "what is not damaged is read"
    assert list((tmp_path / "cwd").iterdir()) == []
    assert {path.name for path in folder.iterdir() if path.suffix != ".model"} == {path.name for _, path in jobs}
    count(files=len(jobs), **{end.replace(" ", "_"): number for end, number in sorted(ends.items())})
