"""`hmgdm nuclei` end to end with a small network of random weights: what it writes, and that tiles change nothing."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import shapely
import tifffile
import torch
from PIL import Image

from hmgdm_plugin.analysis import detector
from hmgdm_plugin.analysis.cores import Cores, slide_limits
from hmgdm_plugin.analysis.detect import Found, detect
from hmgdm_plugin.analysis.kept import TILES_PER_BLOCK, KeptNuclei
from hmgdm_plugin.detect import nuclei
from hmgdm_plugin.embed import embed
from hmgdm_plugin.nuclei.limits import histogram, limits_of
from hmgdm_plugin.nuclei.network import StarDistNetwork
from hmgdm_plugin.nuclei.stars import Candidates, StarDist
from hmgdm_plugin.qupath.ids import is_ours
from hmgdm_plugin.schema import run
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.nuclei import DetectorSettings, StarDistSettings
from hmgdm_plugin.schema.options import EmbedOptions, NucleiOptions
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.slide.tissue import Tissue, find_tissue
from hmgdm_plugin.zoo.card import NucleiCard
from hmgdm_plugin.zoo.detector import save_stardist
from hmgdm_plugin.zoo.vector import synthetic_tile

NETWORK = StarDistSettings(n_rays=16, grid=(2, 2), unet_n_depth=2, unet_n_filter_base=4, net_conv_after_unet=8)
NAMES = {"area µm²", "perimeter µm", "eccentricity", "solidity", "haematoxylin OD", "probability"}


def _network() -> StarDistNetwork:
    """Random weights, shifted so that some cells are nuclei of about 6 pixels radius."""
    torch.manual_seed(2)
    network = StarDistNetwork(NETWORK).eval()
    rgb = synthetic_tile(352)
    low, high = limits_of(histogram(rgb), (1.0, 99.8))
    image = torch.from_numpy((rgb - low) / (high - low)).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        network.conv["prob"].weight *= 40.0
        network.conv["dist"].weight *= 20.0
        logit, distance = network(image)
        network.conv["prob"].bias -= logit[:, 30:-30, 30:-30].quantile(0.95)  # padding is not tissue
        network.conv["dist"].bias += 6.0 - distance.mean()
    return network


def _settings(tile_px: int = 1024) -> DetectorSettings:
    return DetectorSettings(mpp=0.5, tile_px=tile_px, largest_um=12.0, network=NETWORK)


@pytest.fixture(scope="module", name="model")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    about = {name: "made for a test" for name in ("title", "description", "created", "licence", "intended_use")}
    card = NucleiCard(name="stars", version="0.0.1", limits=("Random.",), detector=_settings(), **about)
    return save_stardist(tmp_path_factory.mktemp("zoo") / "stars", card, _network())


@pytest.fixture(scope="module", name="image")
def _image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """700 x 900 pixels at 0.5 microns: tissue with glass to its right."""
    rgb = np.full((704, 960, 3), 246, np.uint8)
    rgb[:, :704] = np.tile(synthetic_tile(352), (2, 2, 1))
    path = tmp_path_factory.mktemp("slide") / "case.tif"
    tifffile.imwrite(path, rgb, tile=(128, 128), resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    return path


def _found(image: Path, tile_px: int, mpp: float | None = None) -> dict[tuple[int, int], np.ndarray]:
    stars = StarDist(_settings(tile_px), _network())
    with open_slide(image, mpp) as slide:
        tissue = find_tissue(slide)
        cores = Cores.of(slide, stars, tissue)
        found = list(detect(slide, cores, cores.places(), stars, slide_limits(slide, tissue, stars), Events(), 2))
    places = np.concatenate([each.places for each in found])
    assert len(np.unique(places, axis=0)) == len(places)
    return dict(zip(map(tuple, places.tolist()), np.concatenate([each.polygons for each in found]), strict=True))


def test_two_tilings_find_the_same_nuclei(image: Path) -> None:
    whole, cut = _found(image, 1024), _found(image, 352)
    assert len(whole) > 150
    same = whole.keys() & cut.keys()
    assert len(same) >= 0.995 * max(len(whole), len(cut))
    assert max(np.abs(whole[place] - cut[place]).max() for place in same) < 0.01


def test_a_search_that_was_stopped_goes_on_and_finds_the_same(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stars, looked = StarDist(_settings(352), _network()), []

    def candidates(*asked: object) -> Candidates:
        looked.append(1)
        return StarDist.candidates(stars, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(stars, "candidates", candidates)
    with open_slide(image) as slide:
        tissue = find_tissue(slide)
        cores = Cores.of(slide, stars, tissue)
        places, limits = cores.places(), slide_limits(slide, tissue, stars)

        def found(*kept: KeptNuclei) -> Iterator[Found]:
            return detect(slide, cores, places, stars, limits, Events(), 1, None, *kept)

        whole = list(found())
        assert len(places) > 2 * TILES_PER_BLOCK
        stopped = found(KeptNuclei(tmp_path, ["one"]))
        for _ in range(2 * TILES_PER_BLOCK):
            next(stopped)
        stopped.close()
        looked.clear()
        again = list(found(KeptNuclei(tmp_path, ["one"])))
        assert len(looked) == len(places) - 2 * TILES_PER_BLOCK
        list(found(KeptNuclei(tmp_path, ["another"])))
    assert len(looked) == 2 * len(places) - 2 * TILES_PER_BLOCK, "blocks of another search are not taken up"
    for one, other in zip(whole, again, strict=True):
        for name in ("polygons", "centres", "probability", "haematoxylin", "places"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_one_tile_is_what_the_detector_says_of_the_image(image: Path) -> None:
    stars, rgb = StarDist(_settings(1200), _network()), tifffile.imread(image)
    with open_slide(image) as slide:
        tissue = Tissue(np.ones((704, 960), bool), 1.0)
        cores, limits = Cores.of(slide, stars, tissue), slide_limits(slide, tissue, stars)
        (found,) = detect(slide, cores, cores.places(), stars, limits, Events())
    expected = stars.predict(rgb, limits)
    assert sorted(map(tuple, expected.centres.tolist())) == sorted(map(tuple, found.centres.tolist()))
    order = [np.lexsort(each.centres.T) for each in (expected, found)]
    np.testing.assert_allclose(found.polygons[order[1]], expected.polygons[order[0]].clip(0, (960, 704)), atol=1e-3)


def test_nothing_is_found_on_ink(image: Path) -> None:
    stars, foreign = StarDist(_settings(1024), _network()), np.zeros((704, 960), bool)
    foreign[300:340] = True
    with open_slide(image) as slide:
        cores, limits = Cores.of(slide, stars, Tissue(~foreign, 1.0, foreign)), np.array([[0.0] * 3, [255.0] * 3])
        y = np.concatenate([e.polygons for e in detect(slide, cores, cores.places(), stars, limits, Events())])[..., 1]
    assert ((y > 300) & (y < 340)).mean(axis=1).max() < 0.3 < len(y)


def test_another_pixel_size_finds_the_same_nuclei_at_the_same_places(image: Path, tmp_path: Path) -> None:
    Image.fromarray(tifffile.imread(image).repeat(2, axis=0).repeat(2, axis=1)).save(tmp_path / "fine.png")
    coarse, fine = _found(image, 1024), _found(tmp_path / "fine.png", 1024, 0.25)
    same = coarse.keys() & fine.keys()
    assert len(same) > 0.6 * max(len(coarse), len(fine))  # reading smooths, and these weights see every grey value
    assert np.median([np.abs(2 * coarse[place] - fine[place]).max() for place in same]) < 1.5


def test_the_verb_writes_objects_counts_and_pictures(image: Path, model: Path, tmp_path: Path) -> None:
    options = NucleiOptions(
        precision="float32", slides=(image,), model=str(model), results_dir=tmp_path / "r", columns=True
    )
    said = nuclei(options, Events())
    features = json.loads(gzip.decompress((tmp_path / "r" / run.nuclei_geojson("case")).read_bytes()))["features"]
    assert (
        len(features) == said["nuclei"] == json.loads((tmp_path / "r" / run.RECORD).read_text())["nuclei"]["case"] > 100
    )
    for feature in features:
        assert is_ours(feature["id"])
        assert feature["properties"]["objectType"] == "detection"
        assert feature["properties"]["classification"]["name"] == "Nucleus"
        numbers = feature["properties"]["measurements"]
        assert {f"HMGDM: {name}" for name in NAMES} == numbers.keys()
        shape = shapely.geometry.shape(feature["geometry"])
        assert numbers["HMGDM: area µm²"] == pytest.approx(shape.area / 4, rel=0.05, abs=0.3)
        assert 0.5 < numbers["HMGDM: probability"] <= 1
        assert shape.centroid.x < 704 + 80
    assert len({feature["id"] for feature in features}) == len(features)
    with (tmp_path / "r" / run.SUMMARY).open() as file:
        (row,) = csv.DictReader(file)
    assert int(row["nuclei"]) == len(features)
    assert float(row["tissue_mm2"]) == pytest.approx(704 * 704 / 4e6, rel=0.1)
    for what in ("nuclei", "nuclei-densest", "nuclear-density"):
        Image.open(tmp_path / "r" / run.overlay_png("case", what)).load()
    density = tifffile.imread(tmp_path / "r" / run.density_tiff("case"))
    assert np.nansum(density) * 0.01 == pytest.approx(len(features), rel=0.2)
    assert (tmp_path / "r" / run.columns_npz("case", "nuclei")).is_file()
    again = NucleiOptions(
        precision="float32", slides=(image,), model=str(model), results_dir=tmp_path / "again", workers=1
    )
    nuclei(again, Events())
    first, second = ((tmp_path / name / run.nuclei_geojson("case")).read_bytes() for name in ("r", "again"))
    assert first == second
    with pytest.raises(InputError, match="holds the results of another run"):
        nuclei(options, Events())


def test_regions_keep_what_lies_in_them_and_change_nothing_else(image: Path, model: Path, tmp_path: Path) -> None:
    box = {"type": "Polygon", "coordinates": [[[100, 100], [300, 100], [300, 300], [100, 300], [100, 100]]]}
    (tmp_path / "region.geojson").write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": box}))
    found = {}
    for name, regions in (("all", None), ("some", tmp_path / "region.geojson")):
        options = NucleiOptions(
            precision="float32", slides=(image,), model=str(model), results_dir=tmp_path / name, regions=regions
        )
        nuclei(options, Events())
        path = tmp_path / name / run.nuclei_geojson("case")
        found[name] = {f["id"]: f for f in json.loads(gzip.decompress(path.read_bytes()))["features"]}
    assert 5 < len(found["some"]) < 0.3 * len(found["all"])
    assert all(found["all"][id] == feature for id, feature in found["some"].items())


def test_glass_is_refused_and_a_dry_run_writes_nothing(image: Path, model: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((300, 300, 3), 244, np.uint8)).save(tmp_path / "glass.png")
    options = NucleiOptions(
        precision="float32", slides=(tmp_path / "glass.png",), mpp=0.5, model=str(model), results_dir=tmp_path / "r"
    )
    with pytest.raises(InputError, match="no tissue on the slide"):
        nuclei(options, Events())
    said = nuclei(
        NucleiOptions(precision="float32", slides=(image,), model=str(model), results_dir=tmp_path / "r", dry_run=True),
        Events(),
    )
    assert said["slides"] == 1
    assert not (tmp_path / "r").exists()
    with pytest.raises(InputError, match="not a nucleus detector"):
        nuclei(
            NucleiOptions(precision="float32", slides=(image,), model="hmgdm-small", results_dir=tmp_path / "r"),
            Events(),
        )


def test_found_nuclei_become_entities(
    image: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "_has_bfloat16", lambda: False)
    nuclei(NucleiOptions(precision="float32", slides=(image,), model=str(model), results_dir=tmp_path / "n"), Events())
    for name, asked in (("found", str(model)), ("given", str(tmp_path / "n"))):
        embed(EmbedOptions(slides=(image,), results_dir=tmp_path / name, nuclei=asked), Events())
    kinds = []
    for name in ("found", "given"):
        with h5py.File(tmp_path / name / run.features_h5("case")) as file:
            kinds.append(file["entities/entity_type"][:].sum())
    assert kinds[0] > 100
    assert abs(int(kinds[0]) - int(kinds[1])) <= 3  # rounded to 0.01 pixel in between
