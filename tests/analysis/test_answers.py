"""What is shown first of a slide."""

from dataclasses import replace

import shapely

from hmgdm_plugin.analysis.answers import TOP_ENTITIES, TopEntity, step_of, strongest
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.zoo.card import Head


def entity(contribution: float, head: Head, value: float) -> TopEntity:
    return TopEntity(
        contribution, Tile(0, 0, 256, 256, 0.5), shapely.box(0, 0, 1, 1), contribution * step_of(head, value)
    )


def test_the_one_nucleus_of_an_empty_tile_does_not_come_before_those_of_a_dense_one():
    density = Head(name="density", title="density", kind="regression", transform="log")
    lonely, crowded = entity(1.5, density, 60.0), entity(0.1, density, 5000.0)
    assert strongest([lonely, crowded])[0] is crowded
    plain = density.model_copy(update={"transform": "none"})
    lonely, crowded = entity(1.5, plain, 60.0), entity(0.1, plain, 5000.0)
    assert strongest([crowded, lonely])[0] is lonely
    assert len(strongest([lonely] * 20)) == TOP_ENTITIES
    assert strongest([replace(lonely, sparse=True), crowded])[0] is crowded, "a sliver does not speak for its slide"
