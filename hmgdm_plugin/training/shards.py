"""Graphs on disk: shards of safetensors, written whole, read by memory map one graph at a time.

A shard holds the fields of its graphs one after the other and `vertex_ptr`, `edge_ptr` with their bounds.
Windows stay uint8 and edges undirected; `latents-*.safetensors` hold the same graphs with attributes of
stage 2 (float16) in place of windows. No pickle, and nothing is read before it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from ..model.batch import LatentBatch
from ..schema.errors import InputError
from ..schema.graph import EntityGraph
from ..schema.weights import write_tensors

VERTEX_FIELDS = ("x", "desc", "pos", "area", "kind")
EDGE_FIELDS = ("edge_attr", "edge_desc", "edge_pos", "edge_area")
LATENT_VERTEX, LATENT_EDGE = ("x", "pos", "area", "kind"), ("edge_attr", "edge_pos")


def write_shard(path: Path, graphs: Sequence[EntityGraph], patients: Sequence[str]) -> None:
    """Write graphs with their windows; the file appears whole or not at all."""
    tensors = {key: torch.cat([g[key] for g in graphs]) for key in (*VERTEX_FIELDS, *EDGE_FIELDS, "tile")}
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


def _bounds(sizes: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


class Shards:
    """All graphs of a folder, numbered over its shards in name order.

    Raises
    ------
    InputError
        The folder holds no shard.
    """

    def __init__(self, folder: Path, pattern: str) -> None:
        self.files = sorted(Path(folder).glob(pattern))
        if not self.files:
            raise InputError(f"{folder}: no {pattern} there", "run the stage before this one first")
        self._open = [safe_open(file, "pt") for file in self.files]
        self._ptr = [(f.get_tensor("vertex_ptr"), f.get_tensor("edge_ptr")) for f in self._open]
        self.patients = [name for f in self._open for name in json.loads(f.metadata()["patient"])]
        counts = [len(ptr[0]) - 1 for ptr in self._ptr]
        self._where = [(s, k) for s, count in enumerate(counts) for k in range(count)]

    def __len__(self) -> int:
        return len(self._where)

    def fields(self, number: int, vertex: Sequence[str], edge: Sequence[str]) -> dict[str, Tensor]:
        """The named fields of graph `number`; `edge_index` counts from the graph's first vertex."""
        shard, k = self._where[number]
        file, (vertex_ptr, edge_ptr) = self._open[shard], self._ptr[shard]
        v0, v1, e0, e1 = int(vertex_ptr[k]), int(vertex_ptr[k + 1]), int(edge_ptr[k]), int(edge_ptr[k + 1])
        out = {key: file.get_slice(key)[v0:v1] for key in vertex}
        out |= {key: file.get_slice(key)[e0:e1] for key in edge}
        out["edge_index"] = file.get_slice("edge_index")[:, e0:e1]
        return out

    def graph(self, number: int) -> EntityGraph:
        """Graph `number` with its windows."""
        shard, k = self._where[number]
        fields = self.fields(number, VERTEX_FIELDS, EDGE_FIELDS)
        tile = self._open[shard].get_slice("tile")[k : k + 1]
        return EntityGraph(**fields, tile=tile, num_nodes=len(fields["x"]))

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
