"""The page: well-formed, complete, in need of nothing beside it, and safe with any name."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mm.reports.page import Method, Page, page, png
from mm.video import read_clip, write_clip
from mm.video.slices import Slice

VOID = {"meta", "img", "rect", "path", "br", "hr"}


class Parsed(HTMLParser):
    """A page's elements and text; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def decoded(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/png;base64"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data, validate=True), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def content(tmp_path: Path) -> Page:
    video = tmp_path / "compare.mp4"
    write_clip(video, torch.rand(8, 3, 300, 600, generator=torch.Generator().manual_seed(3)), rate=10)
    times = torch.arange(20, dtype=torch.float64) / 10
    labels = ["input", "linear × 5", "phase × 5"]
    return Page(
        title="a.mp4: motion × 5",
        lead="Two methods.",
        command="mm compare 'a b.mp4' --factor 5",
        parameters={"Factor": "5", "Mode": "static"},
        methods=[
            Method("linear", "linear, static", path="linear.mp4", seconds=2.04, speed=9.8),
            Method("phase", "phase, static", path="phase.mp4", seconds=4.0, speed=5.0, notes=("too far",)),
            Method("learned", "too small a frame", worked=False),
        ],
        video=video,
        video_size=(200, 640),
        labels=labels,
        still=(noise(3, 60, 300) * 255).byte(),
        crops=[(noise(3, 40, 40) * 255).byte() for _ in labels],
        crop=(100, 10, 40, 40),
        moment=(1.3, 13),
        rows=[Slice(noise(20, 3, 300), times, "x", 33) for _ in labels],
        columns=[Slice(noise(20, 3, 60), times, "y", 250) for _ in labels],
        focus=(280, 30),
        chosen="Slices through row 33 (given).",
        version="1.2.3",
    )


def test_nothing_is_fetched_from_elsewhere(content: Page) -> None:
    text = page(content)
    parsed = Parsed(text)
    assert not parsed.all("script")
    assert not parsed.all("link")
    for tag, attributes in parsed.elements:
        if "src" in attributes:
            assert attributes["src"].startswith("data:"), tag
        if "href" in attributes:
            assert attributes["href"] in ("linear.mp4", "phase.mp4")
    # Neither in attributes nor in the style sheet.
    assert "//" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "url(" not in text
    assert "@import" not in text


def test_everything_is_said(content: Page) -> None:
    parsed = Parsed(page(content))
    for said in (
        content.title,
        content.command,
        "Factor",
        "static",
        "linear, static",
        "2.0",
        "9.8",
        "did not work: too small a frame",
        "too far",
        "Slices through row 33 (given).",
        "Frame 13, 1.30 s",
        "Row 33",
        "Column 250",
        "mm 1.2.3",
    ):
        assert said in parsed.text, said
    # A method that did not work has no link and no numbers.
    assert len(parsed.all("a")) == 2


def test_pictures_are_what_was_given(content: Page) -> None:
    images = [(image["alt"], decoded(image["src"])) for image in Parsed(page(content)).all("img")]
    assert len(images) == 1 + 3 * len(content.labels)
    by_name = dict(images)
    assert by_name["the input"].shape == (60, 300, 3)
    np.testing.assert_array_equal(by_name["the input"][..., ::-1], content.still.permute(1, 2, 0).numpy())
    for label, crop, row, column in zip(
        content.labels, content.crops, content.rows, content.columns, strict=True
    ):
        np.testing.assert_array_equal(by_name[f"{label}, crop"][..., ::-1], crop.permute(1, 2, 0).numpy())
        # 128 px of the 300, around 280 as far as the line goes; time to the right.
        shown = by_name[f"{label}, x–t slice"][..., ::-1]
        assert shown.shape == (128, 20, 3)
        wanted = row.lines[:, :, 172:].permute(2, 0, 1).mul(255).round().numpy()
        np.testing.assert_array_equal(shown, wanted)
        shown = by_name[f"{label}, y–t slice"][..., ::-1]
        np.testing.assert_array_equal(shown, column.lines.permute(2, 0, 1).mul(255).round().numpy())
    assert "x 172 to 299 px" in Parsed(page(content)).text


def test_the_size_of_an_image_stands_beside_it(content: Page) -> None:
    for image in Parsed(page(content)).all("img"):
        assert decoded(image["src"]).shape[:2] == (int(image["height"]), int(image["width"]))


def test_a_small_video_is_inside(content: Page) -> None:
    (inside,) = Parsed(page(content)).all("video")
    kind, _, data = inside["src"].partition(",")
    assert kind == "data:video/mp4;base64"
    assert base64.b64decode(data) == content.video.read_bytes()
    assert "copy in this page" not in Parsed(page(content)).text


def test_of_a_large_video_a_reduced_copy_is_inside_and_the_file_is_named(
    content: Page, tmp_path: Path
) -> None:
    limit = content.video.stat().st_size // 4
    parsed = Parsed(page(content, embedded=limit))
    (video,) = parsed.all("video")
    kind, _, data = video["src"].partition(",")
    assert kind == "data:video/mp4;base64"
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(base64.b64decode(data))
    assert copy.stat().st_size <= limit
    frames, info = read_clip(copy)
    assert (len(frames), float(info.rate)) == (8, 10)
    assert info.height < 300
    assert info.width < 600
    assert f"reduced to {info.width}×{info.height} px and compressed more" in parsed.text
    assert "every" not in parsed.text
    assert {"href": "compare.mp4"} in parsed.all("a")


def test_names_are_text_and_nothing_else(content: Page) -> None:
    wicked = '"><script>alert(1)</script>&amp;'
    hostile = replace(
        content,
        title=wicked,
        lead=wicked,
        command=wicked,
        parameters={wicked: wicked},
        methods=[Method(wicked, wicked, path=wicked, notes=(wicked,)), Method(wicked, wicked, worked=False)],
        labels=[wicked] * 3,
        chosen=wicked,
        version=wicked,
    )
    text = page(hostile)
    parsed = Parsed(text)
    assert "<script" not in text
    assert not parsed.all("script")
    assert parsed.text.count(wicked) >= 12
    assert parsed.all("img")[1]["alt"] == f"{wicked}, crop"


def test_the_lines_lie_over_the_still_picture(content: Page) -> None:
    large = replace(content, still=(noise(3, 600, 1500) * 255).byte())
    parsed = Parsed(page(large))
    # The picture is reduced; the drawing over it stays in px of the clip.
    assert decoded(parsed.all("img")[0]["src"]).shape == (288, 720, 3)
    assert parsed.all("svg")[0]["viewbox"] == "0 0 1500 600"
    assert parsed.all("path")[0]["d"] == "M0 33.5H1500M250.5 0V600"
    assert {key: parsed.all("rect")[0][key] for key in ("x", "y", "width", "height")} == {
        "x": "100",
        "y": "10",
        "width": "40",
        "height": "40",
    }


def test_a_part_of_a_long_clip_is_said(content: Page) -> None:
    assert "Not the whole clip" not in Parsed(page(content)).text
    said = Parsed(page(replace(content, span="frames 5 to 24 of 99 & more"))).text
    assert said.count("Not the whole clip: frames 5 to 24 of 99 & more.") == 2


def test_png_is_lossless() -> None:
    pixels = (noise(3, 7, 9) * 255).byte()
    uri = "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
    np.testing.assert_array_equal(decoded(uri)[..., ::-1], pixels.permute(1, 2, 0).numpy())
