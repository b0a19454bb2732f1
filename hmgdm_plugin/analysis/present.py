"""Pictures, heat map and report of one slide, drawn from its answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..report import page, pictures
from ..report.crop import crop_png
from ..report.sentences import importance_meaning, importance_unit
from ..schema import run
from ..schema.folder import RunFolder
from .crops import crop_of, on_slide
from .encode import encode_tiles
from .mapped import blank
from .mapped import sentence as left_out
from .measured import UNITS, by_tile
from .novel import NAMES, RGBS, novel_share, sentence
from .objects import named
from .short import around, facts_of, in_short, validated_error

if TYPE_CHECKING:
    from ..schema.events import Events
    from ..schema.space import Tile
    from ..zoo.card import Head
    from ..zoo.load import LoadedModel
    from .answers import SlideAnswers
    from .plan import Plan

_NOTE = "Shown are those that raised it most; hmgdm explain checks whether they can be believed."
_CAPTIONS = {
    "importance": "Around the entity that mattered most: green entities raised the answer, blue ones lowered it.",
    "components": "Embeddings as colours: tiles of similar colour look alike to the model.",
    "novelty": "Tiles that lie further from the training data than the limit. An answer there is a guess.",
    "clusters": "Tiles grouped by their embedding, without labels. The groups have numbers, not diagnoses.",
}


class Presentation:
    """Draws one slide; every picture goes into the run folder and, where it helps, onto the page."""

    def __init__(
        self,
        plan: Plan,
        model: LoadedModel,
        heads: Sequence[Head],
        shown: Head,
        answers: SlideAnswers,
        folder: RunFolder,
        events: Events,
    ) -> None:
        self.plan, self.model, self.heads, self.shown = plan, model, heads, shown
        self.answers, self.folder, self.events = answers, folder, events
        self.slide, self.mpp = plan.slide, plan.slide.frame.mpp
        self.kept = answers.mapped
        self.blank = blank(self.kept, answers.least)

    def write(self, report: str, notes: Sequence[str]) -> None:
        """Stage all pictures, the heat map and the page called `report`, which repeats `notes` about this slide."""
        for head in self.heads:
            self._draw(head)
        self._heat_map()
        clusters = [head for head in self.heads if head.kind == "clusters"]
        main = self._path(self.shown.name)
        page.write_report(
            self.folder.stage(report),
            page.Report(
                title=f"H-MGDM: {self.shown.title}",
                slide=self.slide.name,
                summary=self._summary(),
                thumbnail=page.Picture(self._thumbnail(), "The slide as read."),
                main=page.Picture(main.read_bytes(), self._caption()),
                tiles=int(self.kept.sum()),
                results=self._results(),
                novelty=self._novelty(),
                novelty_note=sentence(self.model.card, novel_share(self.answers.novelty)),
                clusters=self._picture(clusters[0].name, _CAPTIONS["clusters"]) if clusters else None,
                shares=self._shares(clusters[0]) if clusters else (),
                components=self._components() if clusters else None,
                importance=page.Picture(self._importance().read_bytes(), _CAPTIONS["importance"]),
                entities=[crop_of(self.slide, each) for each in self.answers.top],
                entities_note=f"{importance_meaning(self.shown.kind)} {_NOTE}",
                notes=list(notes),
                card=in_short(self.model.card, self.heads),
                files=self._files(),
                facts=facts_of(self.model),
            ),
        )

    def _path(self, what: str) -> Path:
        return self.folder.stage(run.overlay_png(self.slide.name, what))

    def _picture(self, what: str, caption: str) -> page.Picture:
        return page.Picture(self._path(what).read_bytes(), caption)

    def _draw(self, head: Head) -> None:
        """The overlay of one head."""
        plan, values = self.plan, self.answers.of(head.name)
        where = self._path(head.name), plan.thumbnail, plan.downsample, self.answers.tiles
        if head.kind == "regression":
            shown = np.where(self.kept, values[:, 0], np.nan)
            pictures.heat_overlay(*where, shown, head.title.capitalize(), head.unit, self.mpp, blank=self.blank)
            return
        labels = values[:, 0].astype(int) if head.kind == "clusters" else values.argmax(axis=1)
        names = [each.name for each in head.classes]
        labels, rgbs = np.where(self.kept, labels, -1), [rgb for _, rgb in named(head)]
        pictures.class_overlay(*where, labels, names, rgbs, head.title.capitalize(), self.mpp, self.blank)

    def _caption(self) -> str:
        said = left_out(self.kept, self.answers.least)
        return f"{self.shown.title.capitalize()} of every tile. {said}".strip()

    def _heat_map(self) -> None:
        """All numbers per tile as float TIFF pages."""
        values, units = {}, {}
        for head in self.heads:
            columns = self.answers.of(head.name)
            names = [head.title] if head.kind != "classification" else [f"p({each.name})" for each in head.classes]
            for name, column in zip(names, columns.T, strict=True):
                values[name], units[name] = column, head.unit
        if self.answers.nuclei:
            values, units = values | by_tile(self.answers.nuclei), units | UNITS
        components = np.stack(self.answers.components)
        for number, column in enumerate(components.T, 1):
            values[f"component {number}"], units[f"component {number}"] = column, ""
        if novel_share(self.answers.novelty) is not None:
            values["novelty"], units["novelty"] = np.asarray(self.answers.novelty), ""
        values["tissue share"], units["tissue share"] = np.asarray(self.answers.shares), ""
        path = self.folder.stage(run.heatmap_tiff(self.slide.name))
        least = 0.0 if self.kept.all() else self.answers.least
        pictures.heatmap_tiff(path, self.answers.tiles, values, units, self.slide.frame, least)

    def _novelty(self) -> page.Picture | None:
        """Where the tiles are that are unlike the training data; None where the model cannot tell."""
        if novel_share(self.answers.novelty) is None:
            return None
        plan, labels = self.plan, np.asarray(self.answers.novelty) > 1
        where = self._path("novelty"), plan.thumbnail, plan.downsample, self.answers.tiles
        pictures.class_overlay(*where, labels.astype(int), NAMES, RGBS, "Unlike the training data", self.mpp)
        return self._picture("novelty", _CAPTIONS["novelty"])

    def _components(self) -> page.Picture:
        """First three components of the embeddings as colours."""
        components = np.stack(self.answers.components)
        low, high = np.percentile(components[self.kept], (2, 98), axis=0)
        rgb = np.clip((components - low) / np.maximum(high - low, 1e-6), 0, 1)
        rgb[~self.kept] = np.nan
        plan, path = self.plan, self._path("components")
        title = "Embeddings: first three principal components"
        where = path, plan.thumbnail, plan.downsample, self.answers.tiles
        pictures.rgb_overlay(*where, rgb, title, self.mpp, self.blank)
        return page.Picture(path.read_bytes(), _CAPTIONS["components"])

    def _importance(self) -> Path:
        """Entities around the strongest one, coloured by what they added."""
        from .answers import answer

        centre = self.answers.top[0].tile
        near = [t for t in self.answers.tiles if _touching(t, centre)]
        outlines, values = [], []
        plan = self.plan
        around = encode_tiles(self.slide, near, self.model, self.events, 1, True, plan.nuclei, plan.tissue)
        for tile in around:
            outlines += list(tile.outlines if tile.outlines is not None else ())
            values += answer(tile, self.model, [self.shown], self.shown).contribution.tolist()
        x, y = min(t.x_px for t in near), min(t.y_px for t in near)
        side = max(max(t.x_px - x, t.y_px - y) for t in near) + centre.side_px
        image = self.slide.read(x, y, side, min(round(side / centre.scale), 1024))
        scale = side / len(image)
        image, corner = on_slide(image, x, y, scale, self.slide.frame)
        path = self._path("importance")
        title = f"What each entity added to: {self.shown.title}"
        pictures.entity_overlay(
            path, image, corner, scale, outlines, values, title, self.mpp, importance_unit(self.shown.kind)
        )
        return path

    def _thumbnail(self) -> bytes:
        return crop_png(self.plan.thumbnail, None, self.mpp * self.plan.downsample, side_in=4.0)

    def _results(self) -> list[page.Result]:
        """Median and quartiles over the tiles of every number."""
        rows = []
        for head in self.heads:
            if head.kind == "clusters":
                continue
            names = [head.title] if head.kind == "regression" else [f"{head.title}: {c.name}" for c in head.classes]
            for name, column in zip(names, self.answers.of(head.name)[self.kept].T, strict=True):
                low, middle, high = (float(q) for q in np.percentile(column, (25, 50, 75)))
                unit = head.unit if head.kind == "regression" else "probability"
                error = validated_error(self.model.card, head)
                rows.append(page.Result(name, middle, low, high, unit, error, around(head, middle)))
        for name, column in by_tile(list(compress(self.answers.nuclei, self.kept))).items():
            if np.isfinite(column).any():
                low, middle, high = (float(q) for q in np.nanpercentile(column, (25, 50, 75)))
                rows.append(page.Result(name, middle, low, high, UNITS[name], "measured, not predicted"))
        return rows

    def _shares(self, head: Head) -> list[page.Share]:
        counts = np.bincount(self.answers.of(head.name)[self.kept, 0].astype(int), minlength=len(head.classes))
        shares = zip(head.classes, named(head), counts / counts.sum(), strict=True)
        return [page.Share(each.name, float(share), rgb) for each, (_, rgb), share in shares]

    def _summary(self) -> str:
        every, title = self.answers.of(self.shown.name), self.shown.title.capitalize()
        values = every[self.kept]
        start = f"{len(every)} tiles, {self.answers.tissue_mm2:.2f} mm² of tissue. {title}: "
        if self.shown.kind == "regression":
            low, middle, high = np.percentile(values[:, 0], (25, 50, 75))
            said = f"median {middle:.4g} {self.shown.unit} (quartiles {low:.4g} to {high:.4g})."
            return start + said + self._measured()
        mean = values.mean(axis=0)
        return start + f"{self.shown.classes[int(mean.argmax())].name} on average (p = {mean.max():.2f})."

    def _measured(self) -> str:
        """What was measured in the unit of the answer, beside it: that holds where the model was never taught."""
        said = ""
        for name, column in by_tile(list(compress(self.answers.nuclei, self.kept))).items():
            if UNITS[name] == self.shown.unit and np.isfinite(column).any():
                said += f" {name.capitalize()}: median {np.nanmedian(column):.4g} {UNITS[name]}, measured."
        return said

    def _files(self) -> dict[str, str]:
        name = self.slide.name
        return {
            f"geojson/{name}/": "objects for QuPath (see above): tiles with predictions, entities with importance",
            run.features_h5(name): "embeddings of tiles and entities (HDF5), joined to the objects by id",
            run.heatmap_tiff(name): "values per tile as float32 TIFF",
            f"overlays/{name}-*.png": "the pictures of this page at full size",
            run.SUMMARY: "one line per slide",
            run.RECORD: "arguments, versions, digests: what repeats this run",
        }


def _touching(a: Tile, b: Tile) -> bool:
    """Whether two tiles are the same, or neighbours that share a side or a corner without overlap."""
    steps = (abs(a.x_px - b.x_px) / b.side_px, abs(a.y_px - b.y_px) / b.side_px)
    return all(abs(step - round(step)) < 1e-3 and step < 1.5 for step in steps)
