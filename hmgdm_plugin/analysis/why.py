"""Why one head said what it said on a slide: importance per tile, the check of it, the picture and the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..qupath.geojson import CONTRIBUTION
from ..report.sentences import importance_unit
from ..schema import run
from ..schema.folder import RunFolder
from .explanation import Explanation
from .faithful import Explained, Faithfulness, explained
from .novel import COLUMN, novel_share, sentence, warning

if TYPE_CHECKING:
    from ..qupath.geojson import Feature
    from ..schema.events import Events
    from ..zoo.card import Head
    from ..zoo.load import LoadedModel
    from .encode import EncodedTile
    from .identity import Ids
    from .plan import Plan


class Why:
    """Explains the tiles of one slide one after the other, then writes what came out.

    Parameters
    ----------
    shown : Head
        The head to explain.
    output : int
        Which of its outputs; -1 for the likeliest class.
    seed : int
        Of the random orders that the curves are compared with.
    """

    def __init__(
        self, plan: Plan, model: LoadedModel, shown: Head, output: int, folder: RunFolder, events: Events, seed: int
    ) -> None:
        self.plan, self.model, self.shown, self.output = plan, model, shown, output
        self.folder, self.events = folder, events
        self.rescored: list[dict[str, Any]] = []
        self._faithful = Faithfulness(model, shown, seed)
        self._explanation = Explanation(plan, model, shown, folder)
        self._stride = max(-(-len(plan.tiles) // self._faithful.most), 1)
        self._seen = 0
        self._novelty: list[float] = []

    def add(self, tile: EncodedTile) -> Explained:
        """Explain the next tile; every few tiles, test whether the importance can be believed."""
        with self.events.timed("explain"):
            said = explained(tile, self.model, self.shown, self.output)
            if self._seen % self._stride == 0:
                self._faithful.add(tile, said)
        self._seen += 1
        self._novelty.append(tile.novelty)
        self._explanation.add(tile, said)
        return said

    def features(self, tile: EncodedTile, said: Explained, ids: Ids, entity_ids: Sequence[UUID]) -> Iterator[Feature]:
        """Objects of a tile: entities with every measure, and its strongest contacts."""
        return self._explanation.features(tile, said, ids, entity_ids)

    def warning(self) -> str:
        """What to know before believing any of it; empty where nothing speaks against the tiles."""
        return warning(self.model.card, novel_share(self._novelty))

    def write(self, several: bool) -> dict[str, Any]:
        """Stage curves, picture and page; returns the facts for the run record."""
        name, share = self.plan.slide.name, novel_share(self._novelty)
        with self.events.timed("pictures"):
            novelty = sentence(self.model.card, share)
            self._explanation.write(run.explain_html(name, several), self._faithful, self.rescored, novelty)
        said = {"measurement": CONTRIBUTION + self.shown.title, "unit": importance_unit(self.shown.kind)}
        facts = {"head": self.shown.name, **said, COLUMN: share, **self._faithful.numbers(), "without": self.rescored}
        path = self.folder.stage(run.curves_json(name))
        path.write_text(json.dumps({**facts, "curves": self._faithful.curves()}, indent=1) + "\n", "utf-8")
        return facts
