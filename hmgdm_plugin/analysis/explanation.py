"""Objects, picture and page of `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import shapely

from ..qupath.geojson import Feature
from ..report import lines, page, pictures
from ..report.sentences import faithfulness, importance_meaning, importance_unit
from ..schema import run
from ..schema.folder import RunFolder
from ..schema.options import MAP_TISSUE
from .answers import TopEntity, step_of, strongest
from .crops import crop_of, on_slide
from .faithful import ORDERS
from .measured import tissue_share
from .objects import entity_features
from .short import facts_of, in_short

if TYPE_CHECKING:
    from ..schema.space import Tile
    from ..zoo.card import Head
    from ..zoo.load import LoadedModel
    from .encode import EncodedTile
    from .faithful import Explained, Faithfulness
    from .identity import Ids
    from .plan import Plan

STRONG_CONTACTS = 0.1  # share of a tile's contacts that become objects


@dataclass(frozen=True, slots=True)
class _Field:
    """The tile drawn large: that of the strongest entity."""

    tile: Tile
    rgb: np.ndarray
    outlines: np.ndarray
    contribution: np.ndarray


class Explanation:
    """Gathers what `explain` shows of one slide."""

    def __init__(self, plan: Plan, model: LoadedModel, shown: Head, folder: RunFolder) -> None:
        self.plan, self.model, self.shown = plan, model, shown
        self.folder = folder
        self.top: list[TopEntity] = []
        self.field: _Field | None = None

    def add(self, tile: EncodedTile, said: Explained) -> None:
        """Keep the entity that raised the answer most if it is among those of the slide."""
        assert tile.outlines is not None
        best = int(said.contribution.argmax())
        most = float(said.contribution[best])
        sparse = tissue_share(tile) < MAP_TISSUE
        entity = TopEntity(most, tile.tile, tile.outlines[best], most * step_of(self.shown, said.value), sparse)
        self.top = strongest([*self.top, entity])
        if self.top[0] is entity:
            self.field = _Field(tile.tile, tile.rgb, tile.outlines, said.contribution)

    def features(self, tile: EncodedTile, said: Explained, ids: Ids, entity_ids: Sequence[UUID]) -> Iterator[Feature]:
        """Entities with every measure, and the strongest contacts as lines between centroids."""
        assert tile.outlines is not None
        entities = entity_features(tile, said.contribution, self.shown, entity_ids)
        for entity, gradient, gate in zip(entities, said.gradient, said.gate, strict=True):
            more = {"HMGDM: gradient x input": float(gradient), "HMGDM: gate": float(gate)}
            yield replace(entity, measurements={**entity.measurements, **more})
        ends = tile.graph.pos.numpy()[tile.graph.edge_index.numpy()]
        strong = np.argsort(-np.abs(said.contacts), kind="stable")[: int(np.ceil(STRONG_CONTACTS * len(said.contacts)))]
        for k in strong.tolist():
            line = shapely.LineString(ends[:, k].astype(np.float64))
            numbers = {"HMGDM: contact gradient x input": float(said.contacts[k])}
            yield Feature(ids.contact(tile, k), line, "detection", "contact", None, None, numbers)

    def write(self, report: str, faithful: Faithfulness, rescored: Sequence[dict[str, Any]], novelty: str) -> None:
        """Stage the picture, the curves and the page; `novelty` says how far these tiles are known to the model."""
        name = self.plan.slide.name
        field, mpp = self.field, self.plan.slide.frame.mpp
        assert field is not None
        explained = self.folder.stage(run.overlay_png(name, "explained"))
        tile = field.tile
        image, corner = on_slide(field.rgb, tile.x_px, tile.y_px, tile.scale, self.plan.slide.frame)
        title = f"What each entity added to: {self.shown.title}"
        pictures.entity_overlay(
            explained,
            image,
            corner,
            tile.scale,
            list(field.outlines),
            field.contribution,
            title,
            mpp,
            importance_unit(self.shown.kind),
        )
        curves = self._curves(faithful)
        page.write_report(
            self.folder.stage(report),
            page.Report(
                title=f"H-MGDM: why this {self.shown.title}",
                slide=name,
                summary=self._summary(rescored),
                main=page.Picture(
                    explained.read_bytes(),
                    "The tile with the strongest entity. Green raised the answer, blue lowered it.",
                ),
                tiles=len(self.plan.tiles),
                entities=[crop_of(self.plan.slide, each) for each in self.top],
                entities_note=importance_meaning(self.shown.kind),
                curves=curves,
                curves_note=self._faith(faithful) if curves else "",
                novelty_note=novelty,
                notes=list(self.plan.notes),
                card=in_short(self.model.card, [self.shown]),
                files={
                    f"geojson/{name}/": "objects for QuPath (see above): entities and strong contacts",
                    run.curves_json(name): "the curves as numbers",
                },
                facts=facts_of(self.model),
            ),
        )

    def _curves(self, faithful: Faithfulness) -> page.Picture | None:
        """Both curves in one picture, as change of the answer; None where no tile could be tested."""
        if not faithful.numbers()["tiles_tested"]:
            return None
        share = np.asarray(faithful.curves()["share"]["share"])
        path = self.folder.stage(run.overlay_png(self.plan.slide.name, "deletion"))
        series = {order: faithful.band("deletion", order) for order in ORDERS}
        unit = self.shown.unit or "probability"
        lines.curves(
            path, 100 * share, series, "Entities taken away", "removed, most important first (%)", f"change ({unit})"
        )
        return page.Picture(
            path.read_bytes(), f"Mean over {faithful.numbers()['tiles_tested']} tiles with 95 % intervals."
        )

    def _faith(self, faithful: Faithfulness) -> str:
        found = faithful.numbers()["contribution"]
        return faithfulness(found["below_random"], found["low"], found["high"], self.shown.unit)

    def _summary(self, rescored: Sequence[dict[str, Any]]) -> str:
        start = f"{len(self.plan.tiles)} tiles explained for {self.shown.title}."
        for row in rescored:
            after = "no entity is left" if row["after"] is None else f"{row['after']:.4g}"
            change = f"goes from {row['before']:.4g} to {after}"
            start += f" Without {row['removed']} of its entities, the tile at {row['tile']} {change}."
        return start
