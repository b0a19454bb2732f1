"""Ids are read by the viewer's scripts bit by bit: their layout may never move."""

import hashlib
import uuid

import pytest

from hmgdm_plugin.qupath.ids import is_ours, object_id, run_tag, tag_of


def test_layout_is_exact():
    digest = hashlib.sha256()
    for part in ("slide", "tile", "3,4"):
        digest.update(len(part).to_bytes(8, "big") + part.encode())
    number = digest.hexdigest()[:15]
    found = str(object_id(0xABCDEF1, "slide", "tile", "3,4"))
    assert found == f"484d4744-abcd-8ef1-b{number[:3]}-{number[3:]}"


@pytest.mark.parametrize("tag", [0, 1, 0xFFF, 0x1000, 0xFFFFFFF])
def test_tag_comes_back(tag):
    made = object_id(tag, "s", "entity", "k")
    assert tag_of(made) == tag_of(str(made)) == tag
    assert (made.version, made.variant) == (8, uuid.RFC_4122)


def test_tag_with_more_than_28_bits_is_refused():
    with pytest.raises(ValueError, match="28 bits"):
        object_id(1 << 28, "s", "tile", "k")


def test_same_input_same_id_and_every_part_counts():
    def made(tag=7, slide="s", kind="tile", key="1"):
        return object_id(tag, slide, kind, key)

    assert made() == made()
    assert len({made(), made(tag=8), made(slide="t"), made(kind="entity"), made(key="2")}) == 5
    assert len({object_id(7, "s", "entity", str(i)) for i in range(50_000)}) == 50_000


def test_run_tag_tells_recipes_apart_and_is_the_same_on_every_machine():
    whole = hashlib.sha256(b"\0\0\0\0\0\0\0\5model" + b"\0\0\0\0\0\0\0\7predict").hexdigest()
    assert run_tag("model", "predict") == int(whole[:7], 16)
    assert run_tag("ab", "c") != run_tag("a", "bc") != run_tag("c", "ab")
    assert 0 <= run_tag("x") < 1 << 28


def test_ownership_survives_foreign_ids():
    ours = object_id(1, "s", "tile", "k")
    assert is_ours(ours)
    assert is_ours(str(ours).upper())
    other_version = str(ours)[:14] + "4" + str(ours)[15:]
    other_magic = "5" + str(ours)[1:]
    for foreign in (uuid.uuid4(), other_version, other_magic, "PathAnnotationObject", ""):
        assert not is_ours(foreign)
        with pytest.raises(ValueError, match="not an id"):
            tag_of(foreign)
