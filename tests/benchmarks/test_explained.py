from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import believed
from benchmarks.explained import additive_share, contact_curve, nuclear_mask, without_each
from benchmarks.graphs import batch_of, random_shapes
from hmgdm_plugin.analysis.faithful import Explained
from hmgdm_plugin.model.batch import LatentBatch, subgraph
from hmgdm_plugin.model.heads import GatedHead
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.model.kinds import Vertices
from hmgdm_plugin.schema.settings import DiffusionSettings
from hmgdm_plugin.training.labelled import LabelledTile


@pytest.fixture(name="asked")
def _asked():
    """A small encoder, a head that listens, one graph, and what was said of it."""
    torch.manual_seed(0)
    model = HMGDM(DiffusionSettings(hidden=16, heads=2, layers=2), (5,), (5,)).eval()
    head = GatedHead(32, 1, "regression")
    torch.nn.init.normal_(head.linear.weight)
    graph = batch_of(random_shapes(1), 5)
    return model, head, graph, Explained(0.0, 0, *[np.zeros(0)] * 4)


def answer(model, head, graph):
    with torch.no_grad():
        return float(head(model.embed(graph).tokens(), Vertices(graph.batch, 1, graph.area)).raw[0, 0])


def test_the_answer_without_an_entity_is_that_of_the_graph_without_it(asked):
    model, head, graph, said = asked
    found = without_each(model, head, graph, said)
    keep = torch.ones(len(graph.x), dtype=torch.bool)
    keep[3] = False
    wanted = answer(model, head, graph) - answer(model, head, subgraph(graph, keep))
    assert found[3] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_shares_of_a_number_or_of_two_classes_add_up_to_the_answer_less_the_bias(kind):
    torch.manual_seed(0)
    head = GatedHead(4, 2, kind)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    tokens, area, batch = torch.randn(6, 4), torch.rand(6) + 0.1, torch.tensor([0, 0, 0, 1, 1, 1])
    raw = head(tokens, Vertices(batch, 2, area)).raw - head.linear.bias
    none, of = torch.zeros(0, 2), torch.zeros(6, dtype=torch.int64)
    ends = torch.zeros(2, 0, dtype=torch.int64)
    graphs = LatentBatch(tokens, none, ends, torch.zeros(6, 2), none, batch, ends[0], 2, of, area)
    given = torch.zeros(2).index_add(0, batch, additive_share(head, tokens, graphs, 1))
    torch.testing.assert_close(given, raw[:, 1] if kind == "regression" else raw[:, 1] - raw[:, 0])


def test_contacts_are_cut_in_order_until_none_is_left(asked):
    model, head, graph, _ = asked
    order = torch.randperm(graph.edge_index.shape[1], generator=torch.Generator().manual_seed(0))
    values = contact_curve(model, head, graph, order, 0, 4)
    assert len(values) == 5
    assert values[0] == pytest.approx(answer(model, head, graph), abs=1e-5)  # a fresh head: raw is the value
    assert len(set(values.round(6))) > 1


def test_gaps_are_in_deviations_of_the_answer_and_positive_where_an_order_is_better():
    found = believed.Measured(patients=["a", "b"], answers=[0.0, 4.0])
    for _ in range(2):
        found.curve("deletion", "contribution", np.array([5.0, 1, 1, 1]))
        found.curve("deletion", "random", np.array([5.0, 3, 3, 1]))
        found.curve("insertion", "contribution", np.array([1.0, 4, 4, 5]))
        found.curve("insertion", "random", np.array([1.0, 2, 2, 5]))
    assert found.gap("deletion", "contribution", "random").tolist() == [1.0, 1.0]
    assert found.gap("insertion", "contribution", "random").tolist() == [1.0, 1.0]
    assert str(believed.over_patients([1.0, np.nan], found.patients)) == "1.000 [1.000, 1.000]"


def test_nuclear_pixels_are_those_of_the_tile(tmp_path):
    label = np.zeros((8, 8), np.uint16)
    label[2:4, 4:6] = 7
    (tmp_path / "labels").mkdir()
    np.savez(tmp_path / "labels" / "i.npz", label=label)
    image = Path(tmp_path / "images" / "i.png")
    tile = LabelledTile(image, 0.25, 4.0, 0.0, 4.0, "tnbc", "p", "s", {"annotation": "components"})
    assert nuclear_mask(tile, 2).tolist() == [[False, False], [True, False]]


def test_an_importance_that_is_constant_has_no_rank_correlation_and_the_tables_say_so():
    found = believed.Measured(patients=["a", "b"], answers=[1.0, 2.0])
    for way in ("deletion", "insertion"):
        for name in (*believed.ORDERS, "random"):
            for start in (2.0, 4.0):
                found.curve(way, name, np.linspace(start, 0.0, 5))
    for name in believed.METHODS:
        for value in (0.5, 0.5):
            found.number("nuclei", name, value)
            found.number("shift", name, np.nan if name == believed.METHODS[1] else value)
    first, second = believed.METHODS[:2]
    rows = {line.split(" | ")[0].strip("| "): line for line in believed.table(found, {first: [0.5, 0.7]}).splitlines()}
    assert rows[first].split(" | ")[5:7] == ["0.500 [0.500, 0.500]", "0.600 [0.500, 0.700]"]
    assert rows[second].split(" | ")[5:7] == ["-", "-"]
    assert believed.versus(found, {}, first).splitlines()[2].split(" | ")[3:5] == ["-", "-"]
