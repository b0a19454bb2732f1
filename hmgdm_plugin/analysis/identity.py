"""Who is who: object ids of tiles, entities and contacts, the same in every verb, and the file of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from ..qupath.features import FeatureFile, attributes_of
from ..qupath.ids import object_id, run_tag

if TYPE_CHECKING:
    from ..slide.reader import Slide
    from ..zoo.load import LoadedModel
    from .encode import EncodedTile
    from .plan import Plan


class Ids:
    """Object ids of one slide: the same slide, model and tile give the same ids in every verb."""

    def __init__(self, model: LoadedModel, slide: Slide) -> None:
        self.tag = run_tag(model.digest)
        self._slide = slide.fingerprint()

    def tile(self, tile: EncodedTile) -> UUID:
        """Id of the tile."""
        return object_id(self.tag, self._slide, "tile", tile.key)

    def entities(self, tile: EncodedTile) -> list[UUID]:
        """Ids of its entities, in the order of the vertices."""
        numbers = range(tile.tokens.shape[0])
        return [object_id(self.tag, self._slide, "entity", f"{tile.key}:{number}") for number in numbers]

    def contact(self, tile: EncodedTile, number: int) -> UUID:
        """Id of contact `number` of the tile."""
        return object_id(self.tag, self._slide, "contact", f"{tile.key}:{number}")


def feature_file(path: Path, plan: Plan, model: LoadedModel) -> FeatureFile:
    """The HDF5 file of a slide's embeddings, with TRIDENT's attributes."""
    encoder = f"{model.card.name} {model.card.version} {model.digest[:12]}"
    frame = plan.slide.frame
    return FeatureFile(path, attributes_of(plan.tiles[0], frame.width_px, frame.height_px, plan.slide.name, encoder))


def add_features(file: FeatureFile, tile: EncodedTile, tile_id: UUID, entity_ids: list[UUID]) -> None:
    """Append the embeddings of a tile and its entities."""
    graph = tile.graph
    file.add(
        tile.tile,
        tile_id,
        tile.pooled.numpy(),
        entity_ids,
        graph.pos.numpy(),
        graph.kind.numpy(),
        tile.tokens.numpy(),
        tile.novelty,
    )
