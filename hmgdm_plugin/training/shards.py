"""Graphs on disk: shards of safetensors, written whole, read by memory map one graph at a time.

A shard holds the fields of its graphs one after the other and `vertex_ptr`, `edge_ptr` with their bounds.
Windows stay uint8 and edges undirected; latents hold the same graphs with attributes of stage 2 (float16) in place of
windows. An index of one row per shard says how many graphs lie before it: whatever the number of graphs, opening a
folder reads next to nothing, and a few shards at a time are mapped. No pickle.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from ..model.batch import LatentBatch
from ..schema.errors import InputError
from ..schema.graph import EntityGraph
from ..schema.weights import write_tensors

VERTEX_FIELDS = ("x", "desc", "pos", "area", "kind")
EDGE_FIELDS = ("edge_attr", "edge_desc", "edge_pos", "edge_area")
LATENT_VERTEX, LATENT_EDGE = ("x", "pos", "area", "kind"), ("edge_attr", "edge_pos")
OPEN_SHARDS = 96  # mapped at a time
Ints = NDArray[np.int64]


def write_shard(path: Path, graphs: Sequence[EntityGraph], patients: Sequence[str]) -> None:
    """Write graphs with their windows; the file appears whole or not at all."""
    tensors = {key: torch.cat([getattr(g, key) for g in graphs]) for key in (*VERTEX_FIELDS, *EDGE_FIELDS, "tile")}
    tensors["edge_index"] = torch.cat([g.edge_index for g in graphs], dim=1)
    tensors["vertex_ptr"] = _bounds([g.num_nodes for g in graphs])
    tensors["edge_ptr"] = _bounds([g.edge_index.shape[1] for g in graphs])
    write_tensors(
        path, tensors, {"slide": json.dumps([g.slide for g in graphs]), "patient": json.dumps(list(patients))}
    )


def write_latents(path: Path, batch: LatentBatch, patients: Sequence[str]) -> None:
    """Write the graphs of `batch` with their stage-2 attributes as float16."""
    vertices = torch.bincount(batch.batch, minlength=batch.num_graphs).tolist()
    edges = torch.bincount(batch.edge_batch, minlength=batch.num_graphs).tolist()
    first = _bounds(vertices)
    tensors = {
        "x": batch.x.half(),
        "edge_attr": batch.edge_attr.half(),
        "pos": batch.pos.float(),
        "edge_pos": batch.edge_pos.float(),
        "area": batch.weight().float(),
        "kind": batch.kind,
        "edge_index": batch.edge_index - first[batch.edge_batch][None],
        "vertex_ptr": first,
        "edge_ptr": _bounds(edges),
    }
    write_tensors(path, tensors, {"patient": json.dumps(list(patients))})


def shard_name(pattern: str, number: int) -> str:
    """Name of shard `number` of those that match `pattern`: ``graphs-00042.safetensors``."""
    return pattern.replace("*", f"{number:05d}")


def write_index(folder: Path, pattern: str) -> None:
    """Write the index of all shards of `folder` that match `pattern`; every stage does so when it has finished."""
    count = sum(1 for _ in Path(folder).glob(pattern))
    if count:
        files = [Path(folder) / shard_name(pattern, number) for number in range(count)]
        write_tensors(_index_path(folder, pattern), _counted(files))


def _counted(files: Sequence[Path]) -> dict[str, Tensor]:
    """Graphs before each shard (S + 1,), and all vertices and edges (2,)."""
    graphs, entities = [], np.zeros(2, np.int64)
    for path in files:
        with safe_open(path, "pt") as file:
            graphs.append(file.get_slice("vertex_ptr").get_shape()[0] - 1)
            entities += (file.get_slice("x").get_shape()[0], file.get_slice("edge_attr").get_shape()[0])
    return {"first": _bounds(graphs), "entities": torch.from_numpy(entities)}


def _index_path(folder: Path, pattern: str) -> Path:
    return Path(folder) / f"index-of-{pattern.replace('*', 'all')}"


def _bounds(sizes: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


class Shard:
    """One file of graphs, mapped into memory: only what is asked for is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = safe_open(path, "pt")
        self._fields: dict[str, Tensor] = {}
        self.vertex_ptr, self.edge_ptr = self.field("vertex_ptr").numpy(), self.field("edge_ptr").numpy()

    def field(self, key: str) -> Tensor:
        """The whole field, as a view of the file."""
        if key not in self._fields:
            self._fields[key] = self._file.get_tensor(key)
        return self._fields[key]

    @cached_property
    def patients(self) -> list[str]:
        """Patient of each graph."""
        return json.loads(self._file.metadata()["patient"])

    @cached_property
    def slides(self) -> list[str]:
        """Slide of each graph; only where shards hold windows."""
        return json.loads(self._file.metadata()["slide"])

    def fields(self, k: int, vertex: Sequence[str], edge: Sequence[str]) -> dict[str, Tensor]:
        """The named fields of the shard's graph `k`; `edge_index` counts from the graph's first vertex."""
        v, e = (slice(int(ptr[k]), int(ptr[k + 1])) for ptr in (self.vertex_ptr, self.edge_ptr))
        out = {key: self.field(key)[v] for key in vertex} | {key: self.field(key)[e] for key in edge}
        return out | {"edge_index": self.field("edge_index")[:, e]}


class Shards:
    """All graphs of a folder, numbered over its shards in name order.

    Parameters
    ----------
    folder : Path
    pattern : str
        Of the files, such as ``latents-*.safetensors``.

    Raises
    ------
    InputError
        The folder holds no shard.
    """

    def __init__(self, folder: Path, pattern: str) -> None:
        self.folder = Path(folder)
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._pattern = pattern
        self._files: list[Path] = []  # only without an index
        index = _index_path(folder, pattern)
        if index.exists():
            with safe_open(index, "pt") as file:
                counted = {key: file.get_tensor(key) for key in ("first", "entities")}
        else:
            self._files = sorted(self.folder.glob(pattern))
            if not self._files:
                raise InputError(f"{folder}: no {pattern} there", "run the stage before this one first")
            counted = _counted(self._files)
        self.first: Ints = counted["first"].numpy()  # graphs before each shard, (S + 1,)
        self.entities = int(counted["entities"].sum())  # vertices and edges of all graphs

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def files(self) -> int:
        """Number of shards."""
        return len(self.first) - 1

    def shard(self, number: int) -> Shard:
        """Shard `number`, opened if it is not; the one that was used longest ago is closed."""
        if number not in self._open:
            named = self.folder / shard_name(self._pattern, number)
            self._open[number] = Shard(self._files[number] if self._files else named)
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]

    def where(self, number: int) -> tuple[Shard, int]:
        """The shard that holds graph `number`, and its place there."""
        shard = int(np.searchsorted(self.first, number, side="right")) - 1
        return self.shard(shard), number - int(self.first[shard])

    def sizes(self, shard: int) -> Ints:
        """Vertices + edges of each graph of a shard."""
        own = self.shard(shard)
        return np.diff(own.vertex_ptr) + np.diff(own.edge_ptr)

    def fields(self, number: int, vertex: Sequence[str], edge: Sequence[str]) -> dict[str, Tensor]:
        """The named fields of graph `number`; see `Shard.fields`."""
        shard, k = self.where(number)
        return shard.fields(k, vertex, edge)

    def patient(self, number: int) -> str:
        """The patient of graph `number`."""
        shard, k = self.where(number)
        return shard.patients[k]

    def graph(self, number: int) -> EntityGraph:
        """Graph `number` with its windows."""
        shard, k = self.where(number)
        fields = shard.fields(k, VERTEX_FIELDS, EDGE_FIELDS)
        return EntityGraph(**fields, tile=shard.field("tile")[k : k + 1], slide="", mpp=0.0)

    def windows(self, number: int, count: int, rng: np.random.Generator) -> Tensor:
        """`count` windows (count, 4, S, S) uint8 of graph `number` at random: half vertices, half edges."""
        fields = self.fields(number, ("x",), ("edge_attr",))
        halves = (fields["x"], fields["edge_attr"]) if len(fields["edge_attr"]) else (fields["x"], fields["x"])
        sizes = (count - count // 2, count // 2)
        picks = [torch.from_numpy(rng.integers(len(h), size=size)) for h, size in zip(halves, sizes, strict=True)]
        return torch.cat([half[pick] for half, pick in zip(halves, picks, strict=True)])

    def latents(self, numbers: Sequence[int]) -> LatentBatch:
        """The graphs `numbers` as one batch of stage 2, float32."""
        parts = [self.fields(number, LATENT_VERTEX, LATENT_EDGE) for number in numbers]
        first = _bounds([len(p["x"]) for p in parts])
        return LatentBatch(
            x=torch.cat([p["x"] for p in parts]).float(),
            edge_attr=torch.cat([p["edge_attr"] for p in parts]).float(),
            edge_index=torch.cat([p["edge_index"] + first[k] for k, p in enumerate(parts)], dim=1),
            pos=torch.cat([p["pos"] for p in parts]),
            edge_pos=torch.cat([p["edge_pos"] for p in parts]),
            kind=torch.cat([p["kind"] for p in parts]),
            area=torch.cat([p["area"] for p in parts]),
            batch=_owner([len(p["x"]) for p in parts]),
            edge_batch=_owner([len(p["edge_attr"]) for p in parts]),
            num_graphs=len(parts),
        )


def _owner(sizes: Sequence[int]) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes, dtype=torch.int64))


def chunks(count: int, size: int) -> Iterator[range]:
    """Ranges of at most `size` that cover 0..count-1 in order."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
