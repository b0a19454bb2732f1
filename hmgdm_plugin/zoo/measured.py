"""What a card says was measured: scores with their intervals, and when a tile is unlike what was learnt from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..schema.settings import Settings

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Novelty(Settings):
    """When a tile counts as unlike what the model learnt from, found on patients left out in turn.

    Parameters
    ----------
    reads : str
        What the distance is measured on, in words.
    quantile : float
        Share of the tiles of left-out patients, each patient counting as one, that lie below the limit.
    limit : float
        The distance there; the number that is shown is the distance over it, so that 1 is the limit.
    false_alarms, low, high : float
        Share of the tiles of a patient that lie above the limit of the other patients: mean, 95 % interval.
    usual_share : float
        Share of novel tiles that all but a tenth of the left-out patients stay below: more is worth a warning.
    detected : dict of str to float
        Share of tiles found when those of left-out patients were spoilt, by how.
    """

    reads: str
    quantile: Annotated[float, Field(gt=0, lt=1)]
    limit: Annotated[float, Field(gt=0)]
    false_alarms: Share
    low: Share
    high: Share
    usual_share: Share
    patients: Count
    tiles: Count
    detected: dict[str, Share] = Field(default_factory=dict)


class Score(Settings):
    """One measured result, with its interval (`low` to `high`, 95 %) and what it was measured on."""

    task: str
    metric: str
    embedding: str
    value: float
    low: float
    high: float
    patients: Count
    tiles: Count
    note: str = ""


class NucleiScore(Settings):
    """One measured result of a nucleus detector on `group`, with its interval (`low` to `high`, 95 %)."""

    group: str
    metric: str
    value: float
    low: float
    high: float
    patients: Count
    images: Count
    nuclei: Count
    note: str = ""
