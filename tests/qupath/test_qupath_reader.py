"""The streamed reader against json.loads, and against files that are broken in every way."""

import gzip
import io
import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgdm_plugin.qupath import reader
from hmgdm_plugin.qupath.reader import read_features
from hmgdm_plugin.schema.errors import InputError

POINT = {"type": "Point", "coordinates": [1.5, -2e3]}
FEATURE = {"type": "Feature", "id": "x", "geometry": POINT, "properties": {"name": 'q"}]\\ü'}}
OTHER = {"type": "Feature", "geometry": None, "properties": {}}
COLLECTION = {"type": "FeatureCollection", "crs": {"deep": [1, [2]]}, "features": [FEATURE, OTHER]}


def read(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_features(path))


@pytest.mark.parametrize("indent", [None, 3])
@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (COLLECTION, [FEATURE, OTHER]),
        (dict(reversed(COLLECTION.items())), [FEATURE, OTHER]),
        ([FEATURE, OTHER], [FEATURE, OTHER]),
        (FEATURE, [FEATURE]),
        (POINT, [{"type": "Feature", "geometry": POINT, "properties": {}}]),
        ({"type": "FeatureCollection", "features": []}, []),
        ([], []),
    ],
)
def test_all_forms(tmp_path, value, wanted, indent):
    text = json.dumps(value, indent=indent)
    assert read(tmp_path / "x.geojson", text) == wanted
    assert read(tmp_path / "bom.json", b"\xef\xbb\xbf" + text.encode()) == wanted
    assert read(tmp_path / "x.geojson.gz", gzip.compress(text.encode())) == wanted


def test_archive_with_one_member(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._a.geojson", b"\0")
        archive.writestr("a.geojson", json.dumps(COLLECTION))
    assert list(read_features(path)) == [FEATURE, OTHER]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.geojson", "{}")
    with pytest.raises(InputError, match="holds 2 GeoJSON files"):
        list(read_features(path))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(json_values, max_size=5), st.integers(1, 40), st.sampled_from([None, 1]))
def test_blocks_cut_anywhere_read_as_json_does(values, block, indent):
    features = [{"type": "Feature", "properties": value} for value in values]
    text = json.dumps({"n": 1.25e-7, "features": features, "type": "FeatureCollection"}, indent=indent)
    scan = reader._Scanner(Slow(text, block))
    assert list(reader._values(scan, "x")) == features


class Slow(io.StringIO):
    """Gives few characters at a time, whatever is asked."""

    def __init__(self, text, block):
        super().__init__(text)
        self.block = block

    def read(self, size=-1):
        return super().read(self.block)


BROKEN = {
    "empty file": b"",
    "white space": b"  \n",
    "text": b"x_px,y_px\n1,2",
    "number": b"12",
    "not geojson": b'{"a": 1}',
    "object without type": b'[{"geometry": null}]',
    "list of numbers": b"[1, 2]",
    "unknown type": b'{"type": "Topology", "arcs": []}',
    "type is a list": b'{"type": ["Feature"]}',
    "collection without features": b'{"type": "FeatureCollection"}',
    "features of another type": b'{"type": "X", "features": []}',
    "cut short": json.dumps(COLLECTION).encode()[:-20],
    "comma at the end": b'{"type": "FeatureCollection", "features": [],}',
    "comma missing": b'[{"type": "Feature"} {"type": "Feature"}]',
    "text behind": b'{"type": "FeatureCollection", "features": []} x',
    "not UTF-8": b'{"type": "\xff\xfe"}',
    "deep": b"[" * 200_000,
    "deep inside": b'{"type": "Feature", "x": ' + b"[" * 200_000,
    "long number": b'{"type": "Feature", "x": ' + b"1" * 5_000 + b"}",
    "cut gzip": gzip.compress(json.dumps(COLLECTION).encode())[:-12],
    "flipped gzip": b"\x1f\x8b\x08" + bytes(20),
    "cut zip": b"PK\x03\x04" + bytes(30),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_broken_files_are_one_sentence_with_a_fix(tmp_path, text):
    path = tmp_path / "case.geojson"
    with pytest.raises(InputError, match=r"case\.geojson") as caught:
        read(path, text)
    assert caught.value.fix
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list(read_features(tmp_path / "none.geojson"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_features(tmp_path))


def test_fault_early_in_a_large_file_is_found_without_reading_it_all():
    text = '[{"type": "Feature", "x": oops}, ' + ",".join(["{}"] * 2_000_000) + "]"
    stream = io.StringIO(text)
    with pytest.raises(ValueError, match="character 26"):
        list(reader._Scanner(stream).items())
    assert stream.tell() < len(text) / 10
