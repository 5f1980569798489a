"""The page in a real browser: load, drag, click a peak, preview, slide, measure, render, download, upload."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mm.video import read_clip, write_clip

pytest.importorskip("nicegui")
pytest.importorskip("selenium")
if shutil.which("chromedriver") is None or shutil.which("chromium") is None:
    pytest.skip("Chromium and its driver are not installed", allow_module_level=True)

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

RATE, HERTZ = 30, 4.0
PATIENCE = 240.0
"""Seconds, after which something will not come any more."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip whose lower half sways at 4 Hz, another that stands still, and a file that is no video."""
    made = tmp_path_factory.mktemp("clips")
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    sway = 0.3 * (2 * torch.pi * HERTZ * torch.arange(90) / RATE).sin()[:, None, None]
    frames = 0.5 + 0.25 * ((x + sway * (y >= 48)) / 3).sin() * (y / 4).cos()
    write_clip(made / "strip.mp4", frames[:, None].expand(-1, 3, -1, -1), rate=RATE)
    write_clip(made / "still.mp4", frames[:1, None].expand(40, 3, -1, -1), rate=RATE)
    (made / "words.mp4").write_text("no video")
    return made


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mm", "studio", str(folder), "--port", str(port), "--no-open"]
    # NiceGUI serves nothing where it believes that it is under test.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    said = (folder.parent / "server.log").open("w")
    with said, subprocess.Popen(command, stdout=said, stderr=said, env=environment) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait(lambda: answers(url))
            yield url
        finally:
            server.terminate()


def answers(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait(until: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := until()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)
    return found


class Page:
    def __init__(self, address: str, downloads: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1900"):
            options.add_argument(flag)
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options, service)
        self.driver.get(address)

    def one(self, css: str) -> Any:
        return wait(lambda: (found := self.driver.find_elements(By.CSS_SELECTOR, css)) and found[0])

    def text(self, css: str) -> str:
        try:
            return str(self.one(css).text)
        except StaleElementReferenceException:  # It has just been put in another's place.
            return ""

    def button(self, name: str) -> Any:
        return wait(lambda: self.driver.find_elements(By.XPATH, f"//button[contains(., '{name}')]"))[0]

    def value(self, label: str) -> str:
        return str(self.one(f'input[aria-label="{label}"]').get_attribute("value"))

    def choose(self, clip: str) -> None:
        field = self.one('input[aria-label="Clip"]')
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(clip)
        option = f"//div[contains(@class, 'q-menu')]//div[contains(@class, 'q-item')][contains(., '{clip}')]"
        # The list is drawn anew while it is filtered.
        wait(lambda: attempt(lambda: self.driver.find_element(By.XPATH, option).click() or True))

    def drag(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from one point to another, in parts of the picture's sides."""
        picture = self.one(".mm-picture")
        size = picture.size

        def place(x: float, y: float) -> tuple[int, int]:
            return round((x - 0.5) * size["width"]), round((y - 0.5) * size["height"])

        actions = webdriver.ActionChains(self.driver, duration=50)
        actions.move_to_element_with_offset(picture, *place(*begin)).click_and_hold()
        actions.move_to_element_with_offset(picture, *place(*end)).release().perform()

    def shot(self, name: str, folder: Path) -> None:
        self.driver.save_screenshot(str(folder / f"{name}.png"))


@pytest.fixture
def open_page(address: str, tmp_path: Path) -> Iterator[Callable[[], Page]]:
    pages: list[Page] = []

    def opened() -> Page:
        pages.append(Page(address, tmp_path))
        return pages[-1]

    yield opened
    for page in pages:
        page.driver.quit()


def test_from_a_clip_to_its_magnified_version(
    folder: Path, open_page: Callable[[], Page], tmp_path: Path
) -> None:
    page = open_page()
    page.choose("strip.mp4")
    wait(lambda: "128×96 px, 30 frames a second, 3 s" in page.text(".mm-about"))
    chip = wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, ".mm-peaks .q-chip"))[0]
    assert chip.text.startswith("4 Hz, ")
    assert abs(float(chip.text.split()[2]) - 0.3) < 0.05
    # A region by dragging: the lower half, and its spectrum.
    page.drag((0.25, 0.6), (0.75, 0.9))
    wait(lambda: "--roi" in page.text(".mm-command"))
    x, y, width, height = map(int, page.text(".mm-command").split("--roi ")[1].split()[0].split(","))
    assert abs(x - 32) <= 2
    assert abs(y - 58) <= 2
    assert abs(width - 64) <= 2
    assert abs(height - 29) <= 2
    # A peak in the plot sets the band.
    click_on_peak = (
        "const plot = getElement(arguments[0].id.slice(1)).chart;"
        "const [x, y] = plot.convertToPixel({seriesIndex: 1}, plot.getOption().series[1].data[0]);"
        "return [x, y];"
    )
    plot = page.one(".mm-spectrum")
    wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, ".mm-peaks .q-chip"))
    at = wait(lambda: attempt(lambda: page.driver.execute_script(click_on_peak, plot)))
    offset = round(at[0] - plot.size["width"] / 2), round(at[1] - plot.size["height"] / 2)
    webdriver.ActionChains(page.driver).move_to_element_with_offset(plot, *offset).click().perform()
    wait(lambda: page.value("From, Hz"))
    low, high = float(page.value("From, Hz")), float(page.value("to, Hz"))
    assert low < HERTZ < high
    # Preview: the fast method, then the chosen one; a line over time, before and after.
    page.button("drag a line").click()
    page.drag((0.2, 0.75), (0.8, 0.76))
    page.button("Preview").click()
    wait(lambda: "left before, right after: learned" in page.text(".mm-preview"))
    ready = "return [...document.querySelectorAll('.mm-compare video')].map(v => v.readyState)"
    wait(lambda: min(page.driver.execute_script(ready), default=0) >= 2)
    wait(lambda: len(page.driver.find_elements(By.CSS_SELECTOR, ".mm-slices img")) == 2)
    page.driver.execute_script(
        "getElement(arguments[0].id.slice(1)).$emit('update:model-value', 20)", page.one(".mm-slider")
    )
    clip = "return document.querySelectorAll('.mm-compare video')[1].style.clipPath"
    wait(lambda: "20%" in page.driver.execute_script(clip))
    # A point's motion.
    page.button("click a point").click()
    page.drag((0.5, 0.75), (0.5, 0.75))
    said = wait(lambda: " Hz: " in page.text(".mm-wave") and page.text(".mm-wave"))
    hertz, amplitude = (float(word) for word in said.split("; ")[1].replace(" Hz:", "").split()[:2])
    assert abs(hertz - HERTZ) < 0.05
    assert abs(amplitude - 0.3) < 0.05
    page.shot("studio", tmp_path)
    # Render, and download.
    command = page.text(".mm-command")
    page.button("Render").click()
    wait(lambda: "strip_x10.mp4: done" in page.text(".mm-queue"))
    made = folder / "magnified" / "strip_x10.mp4"
    assert len(read_clip(made)[0]) == 90
    assert command.startswith("mm magnify strip.mp4 magnified/strip_x10.mp4 --method learned --factor 10")
    page.one(".mm-download").click()
    wait((tmp_path / made.name).exists)
    assert (tmp_path / made.name).read_bytes() == made.read_bytes()


def attempt(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception:
        return None


def test_windows_do_not_mix_and_bad_files_are_said(
    folder: Path, open_page: Callable[[], Page], tmp_path: Path
) -> None:
    one, other = open_page(), open_page()
    one.choose("strip.mp4")
    other.choose("still.mp4")
    wait(lambda: "strip.mp4: " in one.text(".mm-about"))
    wait(lambda: "still.mp4: " in other.text(".mm-about"))
    wait(lambda: "nothing moves" in other.text(".mm-peaks"))
    one.drag((0.1, 0.1), (0.9, 0.9))
    wait(lambda: "--roi" in one.text(".mm-command"))
    assert "--roi" not in other.text(".mm-command")
    one.choose("words.mp4")
    wait(lambda: "words.mp4" in one.text(".q-notification"))
    assert "strip.mp4: " in one.text(".mm-about")
    other.one("input[type=file]").send_keys(str(folder / "strip.mp4"))
    wait(lambda: "strip.mp4: 128×96" in other.text(".mm-about"))
    other.one("input[type=file]").send_keys(str(folder / "words.mp4"))
    wait(lambda: "words.mp4" in other.text(".q-notification"))
    assert {path.name for path in folder.glob("*")} <= {"strip.mp4", "still.mp4", "words.mp4", "magnified"}


def test_another_name_of_this_machine_is_turned_away(address: str) -> None:
    assert answers(address) == 200
    assert answers(address, Host="evil.example") == 400
