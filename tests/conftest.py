"""Real data where it is; slides of every kind and a model with random weights, small and made here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from scipy import ndimage

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is imported

from hmgdm_plugin.model.autoencoder import EntityAutoencoder
from hmgdm_plugin.model.features import EntityFeatures
from hmgdm_plugin.model.heads import ClusterHead, GatedHead
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.settings import AutoencoderSettings, DiffusionSettings, GraphSettings
from hmgdm_plugin.zoo.card import Card, Data, Head, HeadClass
from hmgdm_plugin.zoo.measured import Score
from hmgdm_plugin.zoo.save import save_model

REPO = Path(__file__).resolve().parents[1]
CLASSES = (HeadClass(name="benign", rgb=(0, 120, 0)), HeadClass(name="malignant", rgb=(200, 0, 0)))
LEICA = """<?xml version="1.0"?>
<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01" uuid="urn:uuid:1">
 <collection name="c" uuid="urn:uuid:2" sizeX="{0}" sizeY="{1}">
  <image name="macro" uuid="urn:uuid:3"><creationDate>2020-01-01</creationDate><device model="m" version="1"/>
   <pixels sizeX="{2}" sizeY="{3}"><dimension sizeX="{2}" sizeY="{3}" r="0" ifd="0"/></pixels>
   <view sizeX="{0}" sizeY="{1}" offsetX="0" offsetY="0" spacingZ="0"/>
   <scanSettings><objectiveSettings><objective>1</objective></objectiveSettings>
    <illuminationSettings><numericalAperture>0.05</numericalAperture>
     <illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>
  <image name="main" uuid="urn:uuid:4"><creationDate>2020-01-01</creationDate><device model="m" version="1"/>
   <pixels sizeX="{4}" sizeY="{5}"><dimension sizeX="{4}" sizeY="{5}" r="0" ifd="1"/></pixels>
   <view sizeX="{6}" sizeY="{7}" offsetX="{8}" offsetY="{9}" spacingZ="0"/>
   <scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>
    <illuminationSettings><numericalAperture>0.4</numericalAperture>
     <illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>
 </collection></scn>"""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data: HMGDM_DATA, or beside the repository."""
    folder = Path(os.environ.get("HMGDM_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HMGDM_DATA")
    return folder


@pytest.fixture(scope="session")
def cmu_slide(shared_data: Path) -> Path:
    """A real H&E slide, 2220 x 2967 pixels of 0.499 microns."""
    path = shared_data / "wsi" / "CMU-1-Small-Region.svs"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the real data")
    return path


@pytest.fixture(scope="session")
def stained() -> NDArray[np.uint8]:
    """Pink and purple blots with white glass along the left edge, (600, 800, 3)."""
    rng = np.random.default_rng(3)
    blots = ndimage.gaussian_filter(rng.random((600, 800)), 6)
    blots = (blots - blots.min()) / np.ptp(blots)
    pink, purple = np.array([232.0, 170.0, 205.0]), np.array([110.0, 60.0, 150.0])
    image = pink + (purple - pink) * blots[..., None]
    image[:, :200] = 246.0
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def _halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (side // 2 * 2 for side in image.shape[:2])
    blocks = image[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return blocks.mean((1, 3)).round().astype(np.uint8)


@pytest.fixture(scope="session")
def pyramid_slide(tmp_path_factory: pytest.TempPathFactory, stained: NDArray[np.uint8]) -> Path:
    """A tiled TIFF of three levels, 0.5 microns per pixel in its resolution tags."""
    path = tmp_path_factory.mktemp("slides") / "pyramid.tif"
    with tifffile.TiffWriter(path) as tif:
        level, scale = stained, 1
        for number in range(3):
            per_cm = (20000 / scale, 20000 / scale)
            tif.write(
                level,
                tile=(128, 128),
                photometric="rgb",
                compression="deflate",
                resolution=per_cm,
                resolutionunit="CENTIMETER",
                subfiletype=int(number > 0),
                metadata=None,
            )
            level, scale = _halved(level), scale * 2
    return path


@pytest.fixture(scope="session")
def ome_slide(tmp_path_factory: pytest.TempPathFactory, stained: NDArray[np.uint8]) -> Path:
    """An OME-TIFF of three levels in SubIFDs, PhysicalSizeX 500 nm, screen resolution in its tags."""
    path = tmp_path_factory.mktemp("slides") / "case 1.ome.tif"
    sizes = {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm"}
    with tifffile.TiffWriter(path, ome=True) as tif:
        options = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate", "resolution": (72, 72)}
        tif.write(stained, subifds=2, metadata={"axes": "YXS", **sizes}, resolutionunit="INCH", **options)
        for level in (_halved(stained), _halved(_halved(stained))):
            tif.write(level, subfiletype=1, resolutionunit="INCH", **options)
    return path


@pytest.fixture(scope="session")
def bounds_slide(tmp_path_factory: pytest.TempPathFactory, stained: NDArray[np.uint8]) -> Path:
    """A Leica slide: `stained` at (96, 160) of a 1600 x 1200 glass, so that openslide declares bounds; 0.5 microns."""
    path = tmp_path_factory.mktemp("slides") / "bounds.scn"
    macro = np.full((150, 200, 3), 240, np.uint8)
    height, width = stained.shape[:2]
    glass_nm, tissue_nm, offset_nm = (1600 * 500, 1200 * 500), (width * 500, height * 500), (96 * 500, 160 * 500)
    xml = LEICA.format(*glass_nm, 200, 150, width, height, *tissue_nm, *offset_nm)
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        options = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate", "metadata": None}
        tif.write(macro, description=xml, **options)
        tif.write(stained, resolution=(20000, 20000), resolutionunit="CENTIMETER", **options)
    return path


@pytest.fixture(scope="session")
def tiny_card() -> Card:
    """A card with one head of each kind."""
    return Card(
        name="tiny",
        version="1.0",
        title="Tiny",
        description="Random weights.",
        created="2026-01-01",
        licence="CC0-1.0",
        intended_use="Tests.",
        limits=("Knows nothing.",),
        descriptors=63,
        graph=GraphSettings(tile_px=96, segments=16, stored_px=16, window_px=24, min_area_px=20),
        autoencoder=AutoencoderSettings(channels=8, latent_channels=4),
        diffusion=DiffusionSettings(hidden=16, layers=2, heads=2),
        data=(Data(name="none | at all", licence="CC0", images=0, patients=0, tiles=0, use="tests"),),
        head=(
            Head(name="density", title="Nuclei", kind="regression", unit="per mm2", transform="log", default=True),
            Head(name="grade", title="Grade", kind="classification", classes=CLASSES, caution="Random."),
            Head(name="kinds", title="Kinds", kind="clusters"),
        ),
        evaluation=(Score(task="t", metric="R2", embedding="e", value=0.5, low=0.4, high=0.6, patients=9, tiles=99),),
    )


def _parts(card: Card) -> tuple[EntityFeatures, HMGDM, dict[str, GatedHead | ClusterHead]]:
    """Random modules that fit `card`; the same at each call."""
    torch.manual_seed(1)
    autoencoder = EntityAutoencoder(card.autoencoder, card.graph.stored_px)
    features = EntityFeatures(autoencoder, card.descriptors, card.diffusion.features)
    encoder = HMGDM(card.diffusion, features.parts, features.parts, features.beside)
    heads: dict[str, GatedHead | ClusterHead] = {
        "density": GatedHead(32, 1, "regression", "log", gate_hidden=5),
        "grade": GatedHead(32, 2, "classification"),
        "kinds": ClusterHead(32, 4, 3),
    }
    for head in heads.values():
        for tensor in head.state_dict().values():
            tensor.uniform_(0.1, 0.9)
    return features, encoder, heads


@pytest.fixture
def tiny_parts(tiny_card: Card) -> tuple[EntityFeatures, HMGDM, dict[str, GatedHead | ClusterHead]]:
    """Features, encoder and heads of the tiny model, before they are saved."""
    return _parts(tiny_card)


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory, tiny_card: Card) -> Path:
    """The tiny model's folder; not to be changed."""
    return save_model(tmp_path_factory.mktemp("zoo") / "tiny", tiny_card, *_parts(tiny_card))


@pytest.fixture
def model_copy(saved_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be damaged."""
    return Path(shutil.copytree(saved_model, tmp_path / "tiny"))
