"""A comparison's page: what is taken from the clips, and that it needs nothing but itself."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mm.reports import page
from mm.reports.motion_line import Place
from mm.reports.page import Views, render

LABELS = ["input", "linear × 5", "phase × 5"]
HEIGHT, WIDTH, FRAMES = 60, 300, 20


class Parsed(HTMLParser):
    """A page's elements and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def pictures(self) -> dict[str, np.ndarray]:
        """Images by their text, RGB."""
        found = {}
        for image in self.all("img"):
            kind, _, data = image["src"].partition(",")
            assert kind == "data:image/png;base64"
            pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
            assert pixels is not None
            found[image["alt"]] = pixels[..., ::-1]
        return found


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    """(3, T, 3, H, W) in whole grey levels."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, FRAMES, 3, HEIGHT, WIDTH), generator=generator) / 255


@pytest.fixture
def views(clips: torch.Tensor) -> Views:
    taken = Views(Place(row=33, column=250, point=(280, 30), frame=13), (HEIGHT, WIDTH), FRAMES)
    for first in range(0, FRAMES, 4):
        part = [clip[first : first + 4] for clip in clips]
        taken(first, part, tuple(n / 10 for n in range(first, first + 4)))
    return taken


@pytest.fixture
def video(tmp_path: Path) -> Path:
    (tmp_path / "compare.mp4").write_bytes(bytes(range(256)))
    return tmp_path / "compare.mp4"


TEXTS: dict[str, Any] = {
    "title": "a & b.mp4: motion × 5",
    "version": "1.2.3",
    "command": "mm compare 'a & b.mp4'",
    "parameters": {"Factor": "5"},
    "methods": [
        {"name": "linear", "says": "linear, static", "worked": True, "path": "linear.mp4"}
        | {"seconds": 2.04, "speed": 9.8, "notes": ("too far",)},
        {"name": "learned", "says": "too <small>", "worked": False, "path": "", "notes": ()},
    ],
    "chosen": "Slices through row 33 (given).",
}


def test_pictures_are_of_the_clips(clips: torch.Tensor, views: Views, video: Path) -> None:
    parsed = Parsed(render(video, LABELS, views, **TEXTS))
    shown = parsed.pictures()
    pixels = (clips * 255).round().byte().numpy()
    # 60 px, the frame's height, around (280, 30) as far as the frame goes.
    assert views.crop == (240, 0, 60, 60)
    np.testing.assert_array_equal(shown["the input"], pixels[0, 13].transpose(1, 2, 0))
    for number, label in enumerate(LABELS):
        crop = pixels[number, 13, :, :, 240:].transpose(1, 2, 0)
        np.testing.assert_array_equal(shown[f"{label}, crop"], crop)
        # 128 px of the 300, around 280 as far as the line goes; time to the right.
        row = pixels[number, :, :, 33, 172:].transpose(2, 0, 1)
        np.testing.assert_array_equal(shown[f"{label}, x–t slice"], row)
        column = pixels[number, :, :, :, 250].transpose(2, 0, 1)
        np.testing.assert_array_equal(shown[f"{label}, y–t slice"], column)
    assert parsed.all("path")[0]["d"] == "M0 33.5H300M250.5 0V60"
    for said in ("x downwards (172 to 299 px)", "Frame 13, 1.30 s", "linear, static", "too far", "mm 1.2.3"):
        assert said in parsed.text
    assert "did not work: too <small>" in parsed.text
    assert [link["href"] for link in parsed.all("a")] == ["linear.mp4"]


def test_nothing_is_fetched_from_elsewhere_and_no_text_is_markup(views: Views, video: Path) -> None:
    wicked = '"><script>alert(1)</script>&amp;'
    texts = TEXTS | dict.fromkeys(("title", "version", "command", "chosen"), wicked)
    texts["parameters"] = {wicked: wicked}
    text = render(video, [wicked] * 3, views, **texts)
    parsed = Parsed(text)
    assert not parsed.all("script")
    assert parsed.text.count(wicked) >= 10
    assert not re.search(r"//|url\(|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert all(
        attributes["src"].startswith("data:") for _, attributes in parsed.elements if "src" in attributes
    )


def test_a_large_video_is_played_from_its_file(
    views: Views, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (played,) = Parsed(render(video, LABELS, views, **TEXTS)).all("video")
    assert base64.b64decode(played["src"].removeprefix("data:video/mp4;base64,")) == video.read_bytes()
    monkeypatch.setattr(page, "EMBEDDED", 255)
    parsed = Parsed(render(video, LABELS, views, **TEXTS))
    assert parsed.all("video")[0]["src"] == "compare.mp4"
    assert "must lie beside" in parsed.text


def test_slices_of_a_long_clip_are_around_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "LONGEST", 8)
    for frame, kept in ((0, range(8)), (10, range(6, 14)), (19, range(12, 20))):
        views = Views(Place(1, 2, (3, 4), frame), (8, 9), 20)
        for number in range(20):
            views(number, [torch.full((1, 3, 8, 9), number / 255)], (number / 10,))
        assert views.kept == kept
        assert views.span == f"frames {kept[0]} to {kept[-1]} of 20"
        (part,) = views.slices("x", pace=0.5)
        assert (part.lines[:, 0, 0] * 255).tolist() == pytest.approx(list(kept))
        assert part.times.tolist() == pytest.approx([number / 20 for number in kept])
        assert views.seconds == frame / 10
