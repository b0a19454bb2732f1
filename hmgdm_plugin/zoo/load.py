"""Find a model, check it, and bring it up ready to answer."""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..schema.errors import InputError
from .card import CARD, Card, Head, read_card
from .digest import AGAIN, verify

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ..model.features import EntityFeatures
    from ..model.heads import ClusterHead, GatedHead
    from ..model.hmgdm import HMGDM
    from ..model.novelty import Novelty

WEIGHTS = "weights.safetensors"
PLACES = "HMGDM_MODELS"
RESTORE = f"restore the {CARD} that came with these weights"


@dataclass(frozen=True)
class LoadedModel:
    """A verified model in evaluation mode, on `device`, that no gradient changes."""

    card: Card
    folder: Path
    digest: str
    features: EntityFeatures
    encoder: HMGDM
    heads: dict[str, GatedHead | ClusterHead]
    device: torch.device
    novelty: Novelty | None = None


def installed() -> dict[str, Path]:
    """Models by name; the first of a name wins.

    Looked for in the folders of ``HMGDM_MODELS``, the user's own, the package's, and the one beside the package.
    """
    package = Path(__file__).resolve().parent.parent
    found: dict[str, Path] = {}
    for place in (*_named(), _own(), package / "model_zoo", package.parent / "model_zoo"):
        for card in sorted(place.glob(f"*/{CARD}")):
            found.setdefault(card.parent.name, card.parent)
    return found


def own_models() -> Path:
    """Where models that a user adds go: the first folder of ``HMGDM_MODELS``, else the user's data folder."""
    return next(iter(_named()), _own())


def _named() -> list[Path]:
    return [Path(place) for place in os.environ.get(PLACES, "").split(os.pathsep) if place]


def _own() -> Path:
    """The user's folder of models, where each system keeps the data of programs; it need not exist."""
    home = Path.home()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "hmgdm" / "models"


def find(name_or_folder: str | Path) -> Path:
    """Folder of the model called `name_or_folder`, or that folder itself if it holds a model.

    Raises
    ------
    InputError
        There is no such model; the sentence names the nearest, or what there is.
    """
    folder = Path(name_or_folder)
    if (folder / CARD).is_file():
        return folder
    models = installed()
    name = str(name_or_folder)
    if name in models:
        return models[name]
    if folder.is_dir():
        raise InputError(
            f"{folder}: is a folder without {CARD}", "give a model folder, or a name that models list shows"
        )
    close = difflib.get_close_matches(name, models, n=1, cutoff=0.5)
    there = ", ".join(sorted(models)) or "none is installed"
    raise InputError(f"{name}: no such model (there is: {there})", f"did you mean {close[0]!r}?" if close else _how())


def _how() -> str:
    return f"give a model folder, or set {PLACES} to the folder that holds it"


def choose_device(name: str) -> torch.device:
    """Device called `name`; ``auto`` is CUDA, else MPS, else the CPU.

    Raises
    ------
    InputError
        This machine, or this build of torch, does not have it.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(each for each, available in there.items() if available))
    if not there.get(name, False):
        raise InputError(f"--device {name}: torch {torch.__version__} finds none here", "use --device cpu, or auto")
    return torch.device(name)


def load(name_or_folder: str | Path, device: str = "cpu") -> LoadedModel:
    """Verify the model and load it; nothing of it is read before its digests agree.

    Raises
    ------
    InputError
        No such device or model, a file that is missing or changed, or weights that do not fit the card.
    """
    from ..graph.descriptors import NAMES
    from ..model.autoencoder import EntityAutoencoder
    from ..model.features import EntityFeatures
    from ..model.hmgdm import HMGDM

    where = choose_device(device)
    folder = find(name_or_folder)
    digest = verify(folder)
    card = read_card(folder)
    if card.descriptors > len(NAMES):
        newer = f"{folder}: it reads {card.descriptors} descriptors of an entity, this version makes {len(NAMES)}"
        raise InputError(newer, "install a newer version of hmgdm")
    weights = Weights(folder / WEIGHTS)
    with_stage_1 = any(name.startswith("features.autoencoder.") for name in weights.tensors)
    autoencoder = EntityAutoencoder(card.autoencoder, card.graph.stored_px) if with_stage_1 else None
    if autoencoder is None and card.diffusion.features != "descriptors":
        raise InputError(f"{weights.path}: the auto-encoder is missing", RESTORE)
    features = EntityFeatures(autoencoder, card.descriptors, card.diffusion.features)
    encoder = HMGDM(card.diffusion, features.parts, features.parts, features.beside)
    weights.fill("features.", features)
    weights.fill("hmgdm.", encoder)
    heads = {spec.name: _head(spec, encoder, weights) for spec in card.head}
    novelty = None if card.novelty is None else _novelty(weights)
    weights.all_used()
    for module in (features, encoder, *heads.values(), *([] if novelty is None else [novelty])):
        module.to(where).eval().requires_grad_(False)
    return LoadedModel(card, folder, digest, features, encoder, heads, where, novelty)


def _novelty(weights: Weights) -> Novelty:
    from ..model.novelty import Novelty

    novelty = Novelty(*weights.shape("novelty.components", 2))
    weights.fill("novelty.", novelty)
    return novelty


def _head(spec: Head, encoder: HMGDM, weights: Weights) -> GatedHead | ClusterHead:
    """Head `spec` on what `encoder` gives; its other sizes follow from its tensors."""
    from ..model.heads import ClusterHead, GatedHead

    prefix = f"head.{spec.name}."
    head: GatedHead | ClusterHead
    if spec.kind == "clusters":
        clusters, components = weights.shape(prefix + "centroids", 2)
        head = ClusterHead(encoder.embedding_size, components, len(spec.classes) or clusters)
    else:
        gate_hidden, _ = weights.shape(prefix + "gate.0.weight", 2)
        head = GatedHead(
            encoder.token_size, len(spec.classes) or 1, spec.kind, spec.transform, gate_hidden, encoder.kinds
        )
    weights.fill(prefix, head)
    return head


class Weights:
    """Tensors of one safetensors file, handed out by prefix and checked against the module that takes them."""

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        self.path = path
        try:
            self.tensors: dict[str, Tensor] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: is not a safetensors file ({error})", AGAIN) from error

    def shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """Sizes of the tensor `name`, which must have so many dimensions."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.dim() != dimensions:
            raise InputError(f"{self.path}: {name!r} is missing or of another shape", RESTORE)
        return tuple(tensor.shape)

    def fill(self, prefix: str, module: nn.Module) -> None:
        """Load the tensors under `prefix` into `module`; names and shapes must be its own.

        Raises
        ------
        InputError
            A tensor is missing, too many, or of another shape.
        """
        wanted = module.state_dict()
        names = [name for name in self.tensors if name.startswith(prefix)]
        found = {name.removeprefix(prefix): self.tensors.pop(name) for name in names}
        for name in sorted(wanted.keys() ^ found.keys()):
            what = "is missing" if name in wanted else "is not part of the model"
            raise InputError(f"{self.path}: {prefix + name!r} {what}", RESTORE)
        for name, tensor in found.items():
            if tensor.shape != wanted[name].shape:
                shapes = f"{tuple(tensor.shape)}, the card needs {tuple(wanted[name].shape)}"
                raise InputError(f"{self.path}: {prefix + name!r} is {shapes}", RESTORE)
        module.load_state_dict(found)

    def all_used(self) -> None:
        """Every tensor must have found its place."""
        for name in sorted(self.tensors):
            raise InputError(f"{self.path}: {name!r} is not part of the model", RESTORE)
