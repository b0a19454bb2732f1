"""The page: self-contained, escaped, honest about what it is."""

import base64
import io
import re
from dataclasses import fields
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from hmgdm_plugin.report.page import Card, Entity, Picture, Report, Result, Share, data_uri, number, write_report
from hmgdm_plugin.report.sentences import faithfulness
from hmgdm_plugin.schema.errors import InputError

EVIL = "\"><script>alert('x')</script><img src=http://evil.example/a.png onerror=alert(1)> {{ 7*7 }} \udce9"


def png(width=40, height=30, noise=False):
    pixels = np.full((height, width, 3), 120, np.uint8)
    if noise:
        pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def full(text):
    picture = Picture(png(), text)
    return Report(
        title=text,
        slide=text,
        summary=text,
        thumbnail=picture,
        main=picture,
        tiles=12,
        results=[Result(text, 1.5, 1.0, 2.0, text, text, text), Result("area", float("nan"), 0, 1)],
        novelty=picture,
        novelty_note=text,
        clusters=picture,
        shares=[Share(text, 0.25, (np.uint8(1), 2, 3))],
        components=picture,
        entities=[Entity(png(), -0.5, text, text)],
        entities_note=text,
        curves=picture,
        curves_note=text,
        notes=[text],
        card=Card(text, text, text, [text], [(text, text)], [text]),
        files={text: text},
        facts={text: text},
    )


class Tags(HTMLParser):
    """Everything in the page that could load something or run."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.styles = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.styles if self.open and self.open[-1] == "style" else self.text).append(data)


def page(tmp_path, report):
    write_report(tmp_path / "r.html", report)
    return (tmp_path / "r.html").read_text("utf-8")


def test_every_field_is_shown(tmp_path):
    shown = page(tmp_path, full("plainword"))
    assert shown.count("plainword") >= 25
    assert shown.count("<img") == 7
    assert "n/a" in shown
    assert len(fields(Report)) == 21  # a new field needs a place on the page and in this test


def test_nothing_is_loaded_and_nothing_runs(tmp_path):
    found = Tags(page(tmp_path, full("slide.svs")))
    assert not found.open
    for tag, attributes in found.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "srcset", "background", "action"}:
                assert value.startswith("data:image/")
    assert not re.search(r"url\(|@import|https?:", "".join(found.styles))
    policy = [a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_hostile_text_stays_text(tmp_path):
    found = Tags(page(tmp_path, full(EVIL)))
    assert not found.open
    assert not [tag for tag, _ in found.tags if tag == "script"]
    assert all("onerror" not in attributes for _, attributes in found.tags)
    assert all(a["src"].startswith("data:image/") for tag, a in found.tags if tag == "img")
    text = "".join(found.text)
    assert "<script>alert('x')</script>" in text
    assert "{{ 7*7 }}" in text


def test_it_says_what_it_is_not_for(tmp_path):
    shown = page(tmp_path, Report(title="Tissue analysis", slide="case 7"))
    assert shown.count("Research use only. Not for diagnosis.") == 2
    assert shown.index("Research use only") < shown.index("<h1>")
    assert "<h2>" not in shown  # nothing to show, no empty sections
    assert "@page { size: A4" in shown


def test_pictures_come_back_from_the_page(tmp_path):
    small, large = png(), png(400, 300, noise=True)
    shown = page(tmp_path, Report("t", "s", thumbnail=Picture(small), main=Picture(large)))
    found = [a["src"] for tag, a in Tags(shown).tags if tag == "img"]
    assert base64.b64decode(found[0].split(",", 1)[1]) == small
    assert found[1].startswith("data:image/jpeg")
    assert Image.open(io.BytesIO(base64.b64decode(found[1].split(",", 1)[1]))).size == (400, 300)


def test_large_pictures_shrink_without_visible_loss():
    smooth = np.add.outer(np.arange(600), np.arange(700)) % 256
    noisy = np.clip(smooth[..., None] / 4 + np.random.default_rng(0).normal(100, 6, (600, 700, 3)), 0, 255)
    stream = io.BytesIO()
    Image.fromarray(noisy.astype(np.uint8)).save(stream, "PNG")
    uri = data_uri(stream.getvalue())
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))).astype(int)
    assert len(uri) < len(stream.getvalue()) / 2
    assert np.abs(back - noisy).mean() < 6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1234, "0.123"),
        (0, "0"),
        (31.42, "31.4"),
        (-2.5, "-2.50"),
        (2310.4, "2\u202f310"),
        (1234567, "1\u202f234\u202f567"),
        (1e-9, "0.000000"),
        (float("nan"), "n/a"),
        (float("inf"), "n/a"),
    ],
)
def test_numbers_as_a_person_writes_them(value, text):
    assert number(value) == text


def test_page_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "none" / "r.html", Report("t", "s"))


def test_faithfulness_says_yes_and_no():
    assert "did carry the answer" in faithfulness(2312.0, 1830.0, 2793.0, "nuclei/mm²")
    assert "2.31e+03 nuclei/mm² lower on average [1.83e+03, 2.79e+03]" in faithfulness(
        2312.0, 1830.0, 2793.0, "nuclei/mm²"
    )
    assert "0.2 lower on average" in faithfulness(0.2, 0.1, 0.3)
    for gap, low, high in ((0.2, -0.1, 0.5), (-0.2, -0.3, -0.1), (0.0, 0.0, 0.0)):
        assert "Do not rely" in faithfulness(gap, low, high)
