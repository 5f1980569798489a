"""The contact sheet of ``mm synthesize``: a row of pictures for each sample."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.uint8]

SHEET = "contact_sheet.png"
SHEET_ROWS = 24
CELL = 160  # px, longest side of a picture on the sheet
_LABEL_WIDTH, _GAP = 190, 4
_LABEL_LINES = 6
LABEL_LETTERS = 28
_FONT, _FONT_SCALE, _LINE_HEIGHT = cv2.FONT_HERSHEY_SIMPLEX, 0.38, 16
_INK = 225


def eight_bit(frame: Tensor) -> Pixels:
    """Return a frame (3, H, W) in [0, 1] as BGR (H, W, 3), rounded to the nearest step."""
    rgb = (frame.permute(1, 2, 0) * 255.0).round().to(torch.uint8).numpy()
    return np.ascontiguousarray(rgb[..., ::-1])


def sheet_row(label: Sequence[str], pictures: Sequence[Pixels]) -> Pixels:
    """Return a sample's pictures, all of one size, beside one another under a label of at most six lines."""
    cells = [_fit(picture) for picture in pictures]
    # A wide frame is lower than its label is.
    low = max(0, _LABEL_LINES * _LINE_HEIGHT + _GAP - cells[0].shape[0])
    cells = [np.pad(cell, ((0, low), (0, 0), (0, 0))) for cell in cells]
    text = np.zeros((cells[0].shape[0], _LABEL_WIDTH, 3), np.uint8)
    for line, words in enumerate(label):
        _print(text, words[:LABEL_LETTERS], (6, _LINE_HEIGHT * (line + 1)))
    return _beside([text, *cells])


def sheet(rows: Sequence[Pixels], columns: Sequence[str]) -> Pixels:
    """Return rows of :func:`sheet_row` below one another, under the columns' titles."""
    width = rows[0].shape[1]
    cell = (width - _LABEL_WIDTH) // len(columns)
    wrapped = [_wrapped(title, cell - 2 * _GAP) for title in columns]
    height = max(map(len, wrapped)) * _LINE_HEIGHT + 2 * _GAP
    titles = np.zeros((height, width, 3), np.uint8)
    for place, lines in enumerate(wrapped):
        for line, text in enumerate(lines):
            _print(titles, text, (_LABEL_WIDTH + _GAP + place * cell, _LINE_HEIGHT * (line + 1)))
    gap = np.zeros((_GAP, width, 3), np.uint8)
    return np.concatenate([titles, *(piece for row in rows for piece in (row, gap))])


def _fit(picture: Pixels) -> Pixels:
    """Return a picture as large as a cell: enlarged a whole number of times, or shrunk."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    if longest <= CELL:
        return picture.repeat(CELL // longest, axis=0).repeat(CELL // longest, axis=1)
    size = (max(1, round(width * CELL / longest)), max(1, round(height * CELL / longest)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def directions(displacement: Tensor, largest: float) -> Pixels:
    """Return a field (H, W, 2) as colours: hue by direction, brightness by length."""
    x, y = displacement.numpy()[..., 0], displacement.numpy()[..., 1]
    hue = (np.degrees(np.arctan2(y, x)) % 360 / 2).astype(np.uint8)
    value = np.hypot(x, y) / max(largest, 1e-9) * 255
    hsv = np.dstack((hue, np.full_like(hue, 255), value.astype(np.uint8)))
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)


def _beside(pictures: list[Pixels]) -> Pixels:
    gap = np.zeros((pictures[0].shape[0], _GAP, 3), np.uint8)
    return np.concatenate([piece for picture in pictures for piece in (picture, gap)], axis=1)


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most ``width`` px each; a word that is longer than that stands alone."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and cv2.getTextSize(longer, _FONT, _FONT_SCALE, 1)[0][0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _print(picture: Pixels, text: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, text, place, _FONT, _FONT_SCALE, (_INK, _INK, _INK), 1, cv2.LINE_AA)
