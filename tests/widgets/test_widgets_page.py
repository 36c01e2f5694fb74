"""The page by itself: what its data hold, and, driven in a browser, what it does with them."""

import base64
import json
import os
import re
import shutil
import time
import zlib

import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import ParameterError, ResultError
from nengo_cam.plotting.text import name_of
from nengo_cam.widgets import page, player

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


def array(text, name, dtype, shape):
    packed = re.search(rf'id="data-{name}">([^<]*)<', text)[1]
    return np.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype).reshape(shape)


def facts_of(text):
    return json.loads(re.search(r'id="facts">(.*?)</script>', text, re.DOTALL)[1])


def test_data_hold_the_maps(spiking, rate, scores):
    text = player(spiking, rate, scores=scores).to_html()
    smoothed = [ncam.cumulative(spiking), ncam.agreement.smooth(spiking, 0.01), spiking]
    cells = np.cumsum(array(text, "cells", np.int8, (3, 3, 3, 12, 4, 5)), axis=3, dtype=np.int8)
    peaks = array(text, "peaks", "<f4", (3, 3, 3, 12))
    expected = np.stack([ds["cam"].transpose("image", "label", "time", "y", "x").values for ds in smoothed])
    np.testing.assert_allclose(peaks, np.abs(expected).max(axis=(-2, -1)), rtol=1e-6)
    error = np.abs(cells * peaks[..., None, None] / 127 - expected)
    assert np.all(error <= 0.004 * peaks[..., None, None])
    np.testing.assert_array_equal(
        array(text, "logits", "<f4", (3, 3, 12, 3)), np.stack([ds["logits"].values for ds in smoothed])
    )
    np.testing.assert_array_equal(array(text, "rate-logits", "<f4", (3, 3)), rate["logits"])
    np.testing.assert_allclose(array(text, "scores", "<f4", (3, 12, 3)), scores["pearson"], rtol=1e-6)
    reach = np.abs(rate["cam"].values).max(axis=(-2, -1))
    np.testing.assert_allclose(array(text, "reach", "<f4", (3, 3, 3)), np.stack([reach] * 3), rtol=1e-6)
    facts = facts_of(text)
    np.testing.assert_allclose(facts["shared"], reach.max())
    assert facts["times"] == list(range(1, 13))
    assert [s["kind"] for s in facts["smoothings"]] == ["spiking, running mean", "spiking, lowpass 10 ms", "spiking"]


def test_answers_that_differ_are_in_the_page(spiking, rate):
    labels = spiking.label.values.tolist()
    answered = spiking.assign(
        answer=("image", [labels[0], labels[1], labels[0]]), cnn_answer=("image", [labels[0], labels[0], labels[2]])
    )
    facts = facts_of(player(answered, rate).to_html())
    assert facts["answers"] == [None, [str(labels[1]), str(labels[0])], [str(labels[0]), str(labels[2])]]


def test_data_hold_the_rate_maps_of_moving_images(spiking, moving_rate):
    held = spiking.assign_attrs(readout="level")
    made = player(held, moving_rate.transpose("x", "time", "y", "label", "image"))
    text = made.to_html()
    facts = facts_of(text)
    cells = array(text, "rate-cells", np.int8, (3, 3, 12, 4, 5))
    peaks = array(text, "rate-peaks", "<f4", (3, 3, 12))
    expected = moving_rate.cam.transpose("image", "label", "time", "y", "x").values
    np.testing.assert_allclose(cells * peaks[..., None, None] / 127, expected, atol=0.004 * np.abs(expected).max())
    np.testing.assert_array_equal(array(text, "rate-logits", "<f4", (3, 12, 3)), moving_rate.logits)
    assert facts["rate_steps"] == 12
    # Both answer by their largest logit at each step.
    for position in range(3):
        own, cnn = (result.logits.values[position].argmax(axis=-1) for result in (held, moving_rate))
        names = held.label.values
        wanted = [None if a == b else [names[a], names[b]] for a, b in zip(own, cnn)]
        assert facts["answers_by_step"][0][position] == wanted
    # Unit spikes are no answers as they are; and what forgets comes first.
    facts = facts_of(player(spiking, moving_rate).to_html())
    assert [smoothing["name"] for smoothing in facts["smoothings"]] == ["lowpass", "running mean", "none"]
    assert [answers[0] is None for answers in facts["answers_by_step"]] == [False, False, True]
    by_logits = spiking.assign(cnn_logits=moving_rate.logits)
    assert player(by_logits).smoothing == "lowpass"
    with pytest.raises(ResultError, match="rate: its 'time' differs"):
        player(spiking, moving_rate.assign_coords(time=moving_rate.time * 2))


@pytest.mark.parametrize("scale", ["frame", "image"])
def test_the_stage_draws_rate_maps_of_moving_images(spiking, moving_rate, images, scale):
    """Drawn over a kept background, a step looks as in a figure that knows no other."""
    held = spiking.assign_attrs(readout="level")
    made = player(held, moving_rate, images, scale=scale, label="dog")
    made.draw(2)
    made.draw(7)
    (rate_map,) = made.stage.panel.maps[1:]
    np.testing.assert_array_equal(rate_map.get_array(), moving_rate.cam.sel(label="dog")[0, 7])
    fresh = player(held, moving_rate, images, scale=scale, label="dog")
    assert made.draw(7) == fresh.draw(7)
    assert made.draw(2) != fresh.draw(7)


@pytest.mark.browser
def test_rate_maps_of_moving_images_play_along(opened, spiking, moving_rate):
    held = spiking.assign_attrs(readout="level")
    shown = opened(player(held, moving_rate, label="dog", scale="frame"))
    pictures = {}
    for step in (3, 8, 3):
        shown.move(step)
        pictures.setdefault(step, shown.canvas("rate"))
        assert shown.canvas("rate") == pictures[step]
        own, cnn = (str(held.label.values[r.logits.values[0, step].argmax()]) for r in (held, moving_rate))
        assert shown.run("return document.getElementById('answers').hidden") is (own == cnn)
        if own != cnn:
            assert shown.text("#answers") == f"The spiking network answers {own}, the CNN {cnn}."
        # The strongest cell of the map has the outermost color: red where it is positive, otherwise blue.
        cells, values = shown.cells(4, 5, "rate"), moving_rate.cam.sel(label="dog").values[0, step]
        strongest = np.unravel_index(np.abs(values).argmax(), values.shape)
        red, _, blue = cells[strongest].astype(int)
        assert (red > blue) == (values[strongest] > 0)
    assert pictures[3] != pictures[8]


def test_quantized_maps_and_what_is_missing():
    maps = np.zeros((3, 2, 2))
    maps[1] = [[1, -4], [np.nan, 2]]
    maps[2, 0, 0] = 1e-300
    cells, peaks = page.quantize(maps)
    np.testing.assert_array_equal(peaks, [0, 4, 0])
    np.testing.assert_array_equal(cells, [np.zeros((2, 2)), [[32, -127], [-128, 64]], np.zeros((2, 2))])


def test_maps_beyond_single_precision_are_refused(spiking):
    with pytest.raises(ResultError, match=r"too large for a page; .* up to 3.4e\+38, got 1.0e\+39"):
        player(spiking.astype(float) * 0 + 1e39, smoothing="none").to_html(smoothing="none")
    assert np.isfinite(page.quantize(np.full((1, 1), 3e38))[1])


def test_rows_in_reverse_order_stay_in_their_place(spiking):
    # What a row shows is the same wherever it stands in the array.
    turned = player(spiking.isel(y=slice(None, None, -1)), smoothing="none").to_html(smoothing="none")
    straight = player(spiking, smoothing="none").to_html(smoothing="none")
    assert facts_of(turned)["extent"] == facts_of(straight)["extent"]
    shape = (1, 3, 3, 12, 4, 5)
    np.testing.assert_array_equal(array(turned, "cells", "i1", shape), array(straight, "cells", "i1", shape))


def test_the_page_holds_everything_and_fetches_nothing(spiking, rate, images):
    text = player(spiking, rate, images).to_html()
    # Names of XML's vocabularies are not fetched.
    assert re.findall(r"https?://[^\"' ]+", text) == ["http://www.w3.org/2000/svg"]
    assert "default-src 'none'" in text
    assert not re.search(r"\{\{\w+\}\}", text)


def test_names_cannot_break_the_page(spiking):
    spiking = spiking.assign_coords(label=["</script><script>alert(1)</script>", "<!--", "{{data}}"])
    spiking.attrs["model"] = "<i>model</i> {{style}}"
    text = player(spiking).to_html(smoothing="none")
    assert facts_of(text)["labels"] == spiking["label"].values.tolist()
    assert "<script>alert" not in text and "<i>" not in text
    assert text.count("</script>") == 1 + 1 + 4


@pytest.mark.browser
def test_names_are_shown_as_they_are(opened, spiking, rate, images):
    names = ['"><script>alert(1)</script>', "a\u2028'b' & <b>c</b> $x_{$", "</script></title>{{facts}}"]
    spiking, rate = (result.assign_coords(label=names, image=names) for result in (spiking, rate))
    spiking.attrs["model"] = names[0]
    shown = opened(player(spiking, rate, images, label=names[1]))
    assert shown.text("h1") == f"Class-activation maps over time: {names[0]}"
    assert shown.browser.title == f"Class-activation maps over time: {names[0]}"
    for choice, first in (("image", 0), ("label", 1)):
        script = "return [...document.getElementById(arguments[0]).options].map((option) => option.textContent)"
        assert shown.run(script, choice)[first:] == names
    # As in figures: on one line, and as long as there.
    assert shown.text("#rate-figure figcaption") == f"rate, label {name_of(names[1])}"
    assert shown.text("#input-figure figcaption") == f"image {name_of(names[0])}"
    assert shown.run("return document.querySelector('#rate-figure figcaption').title") == names[1]
    assert shown.run("return document.querySelectorAll('b, title ~ title').length") == 0
    # As an attribute, too.
    page = player(spiking)._repr_html_()
    assert page.count("<") == 2 and page.count('"') == 2 * len(re.findall(r'[a-z]="', page))


@pytest.mark.browser
def test_answers_that_differ_are_shown(opened, spiking):
    answered = spiking.assign(answer=("image", ["cat", "dog", "cat"]), cnn_answer=("image", ["cat", "<b>emu", "cat"]))
    shown = opened(player(answered, image=1))
    assert shown.text("#answers") == "The spiking network answers dog, the CNN <b>emu."
    shown = opened(player(answered, image=0))
    assert shown.run("return document.getElementById('answers').hidden") is True


@pytest.mark.browser
def test_panels_stand_in_the_order_of_the_widgets(opened, spiking, rate, images):
    made = player(spiking, rate, images)
    shown = opened(made)
    script = """return [...document.querySelectorAll('figure:not([hidden])')]
        .sort((a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left)
        .map((figure) => figure.querySelector('figcaption').textContent.split(/[ ,]/)[0])"""
    order = shown.run(script)
    stage = made.stage
    axes = [stage.panel.input.axes, *stage.panel.map_axes]
    lefts = [ax.get_position().x0 for ax in axes]
    assert lefts == sorted(lefts)
    assert order == ["image", "spiking", "rate"]
    assert [ax.get_title().split("\n")[0].split(",")[0] for ax in axes] == ["input", "spiking", "rate"]
    assert axes[0].get_ylabel() == "image 10"


def test_size_of_a_usual_page(tmp_path):
    import xarray as xr

    rng = np.random.default_rng(0)
    centers = np.arange(28.0)
    coords = {"image": range(5), "time": 0.001 * np.arange(1, 101), "label": range(10), "y": centers, "x": centers}
    dims = ("image", "time", "label", "y", "x")
    cam = rng.normal(size=(5, 100, 10, 28, 28)).astype(np.float32)
    spiking = xr.Dataset({"cam": (dims, cam), "logits": (dims[:3], cam.mean((3, 4)))}, coords)
    player(spiking).save(tmp_path / "player.html", smoothing="running mean")
    # A byte per cell would be 5.2 MB in base64; noise is the worst case.
    assert (tmp_path / "player.html").stat().st_size < 4e6


def test_errors(spiking, monkeypatch):
    made = player(spiking)
    with pytest.raises(ParameterError, match="smoothing: not a choice; .* got 'mean'"):
        made.to_html(smoothing=["none", "mean"])
    with pytest.raises(ParameterError, match="smoothing: not a choice; .* got None"):
        made.to_html(smoothing=[])
    monkeypatch.setattr(page, "MOST_BYTES", 1000)
    with pytest.raises(ResultError, match=r"too much for a page; expected at most 1,000 bytes .* got 6,480 and 0\."):
        made.to_html()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install 'nengo-cam[tests]'")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs the programs chromium and chromedriver on PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    flags += f" disable-component-update disable-sync user-data-dir={tmp_path_factory.mktemp('profile')}"
    for flag in flags.split():
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Selenium would look for a driver on the network.
    os.environ.setdefault("SE_OFFLINE", "true")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """A page in the browser."""

    def __init__(self, browser, path):
        self.browser = browser
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(path.as_uri())
        self.wait(lambda: self.time != "")

    def wait(self, condition, seconds=20):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "nothing happened"
            time.sleep(0.05)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    @property
    def time(self):
        return self.text("#time-shown")

    def canvas(self, name="spiking"):
        return self.run("return document.getElementById(arguments[0]).toDataURL()", name)

    def cells(self, rows, columns, name="spiking"):
        """Colors in the middle of each cell, (rows, columns, 3)."""
        script = """
            const canvas = document.getElementById(arguments[0]), found = [];
            for (let row = 0; row < arguments[1]; row++) for (let column = 0; column < arguments[2]; column++)
                found.push(...canvas.getContext("2d").getImageData(Math.floor((column + 0.5) * canvas.width /
                    arguments[2]), Math.floor((row + 0.5) * canvas.height / arguments[1]), 1, 1).data.slice(0, 3));
            return found"""
        return np.array(self.run(script, name, rows, columns)).reshape(rows, columns, 3)

    def find(self, name):
        return self.browser.find_element("id", name)

    def click(self, name):
        """Click where it is on the screen, which fails if something lies above it."""
        self.find(name).click()

    def move(self, step):
        """Move the slider of time, as by a mouse."""
        self.run(
            "const e = document.getElementById('time'); e.value = arguments[0];"
            "e.dispatchEvent(new Event('input', { bubbles: true }))",
            step,
        )

    def choose(self, name, text):
        from selenium.webdriver.support.ui import Select

        Select(self.find(name)).select_by_visible_text(text)

    def press(self, key, name=None):
        target = self.browser.find_element("tag name", "body") if name is None else self.find(name)
        target.send_keys(key)


@pytest.fixture
def opened(browser, tmp_path):
    def open_page(made, **options):
        made.save(tmp_path / "player.html", **options)
        return Page(browser, tmp_path / "player.html")

    yield open_page
    # Errors of scripts, and what the page was refused; no advice to those who read pixels, as these tests do.
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.browser
def test_play_changes_the_frame(opened, spiking, rate, images, scores):
    shown = opened(player(spiking, rate, images, scores=scores, fps=20))
    # It opens where there is most to see, and plays from the beginning.
    assert shown.time == "12 ms"
    shown.move(0)
    assert shown.time == "1 ms"
    before = shown.canvas()
    shown.click("play")
    assert shown.text("#play") == "Pause"
    shown.wait(lambda: shown.time == "12 ms")
    assert shown.canvas() != before
    # The last step ends it, and from there it begins anew.
    shown.wait(lambda: shown.text("#play") == "Play")
    shown.click("play")
    shown.wait(lambda: shown.time != "12 ms")
    shown.click("play")
    assert shown.text("#play") == "Play"


@pytest.mark.browser
def test_sliders_choices_and_keys(opened, spiking, rate, images):
    from selenium.webdriver.common.keys import Keys

    shown = opened(player(spiking, rate, images))
    shown.move(4)
    assert shown.time == "5 ms"
    assert shown.text("#spiking-figure figcaption") == "spiking, running mean, label emu, 5 ms"
    assert shown.run("return document.getElementById('time').getAttribute('aria-valuetext')") == "5 ms"
    choices = ("label", "cat"), ("image", "12"), ("smoothing", "none"), ("scale", "all alike"), ("scale", "per map")
    for name, text in choices:
        before = shown.canvas()
        shown.choose(name, text)
        assert shown.canvas() != before, name
    assert shown.text("#rate-figure figcaption") == "rate, label cat"
    assert shown.text("#input-figure figcaption") == "image 12"
    for key, expected in ((Keys.ARROW_RIGHT, "6 ms"), (Keys.ARROW_LEFT, "5 ms"), (Keys.END, "12 ms")):
        shown.press(key)
        assert shown.time == expected
    shown.press(Keys.ARROW_LEFT, "time")
    assert shown.time == "11 ms"
    shown.press(Keys.HOME)
    shown.press(" ")
    shown.wait(lambda: shown.time != "1 ms")
    shown.press(" ")
    assert shown.text("#play") == "Play"


@pytest.mark.browser
def test_the_charts_follow_the_time_and_set_it(opened, spiking, rate, scores):
    from selenium.webdriver.common.action_chains import ActionChains

    scores.attrs["time_reduction"] = "running mean"
    shown = opened(player(spiking, rate, scores=scores, label="dog", smoothing="none"))
    for chart in ("logits", "scores"):
        found = []
        for step in (0, 6, 11):
            shown.move(step)
            script = "return document.querySelector(arguments[0]).x1.baseVal.value"
            found.append(shown.run(script, f"#{chart} .cursor"))
        # From the origin on, as time does.
        np.testing.assert_allclose((found[1] - found[0]) / (found[2] - found[0]), 6 / 11)
        middle = found[1] - shown.find(chart).rect["width"] / 2
        ActionChains(shown.browser).move_to_element_with_offset(shown.find(chart), round(middle), 0).click().perform()
        assert shown.time == "7 ms"
    assert shown.text("#score-legend") == "agreement of the maps of label dog; maps: running mean"
    shown.choose("smoothing", "running mean")
    assert shown.text("#score-legend") == "agreement of the maps of label dog"
    reading = f"pearson of label dog: {scores['pearson'].values[0, 6, 1]:.3g}."
    assert shown.text("#reading").replace("\u2212", "-").endswith(reading)


@pytest.mark.browser
def test_controls_have_names_and_are_reached_by_tab(opened, spiking, rate, images):
    from selenium.webdriver.common.keys import Keys

    shown = opened(player(spiking, rate, images))
    reached = []
    for _ in range(6):
        shown.browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(shown.browser.switch_to.active_element.accessible_name)
    assert reached == ["Play", "Time", "Image", "Label", "Colors", "Smoothing"]
    assert shown.find("spiking").accessible_name.startswith("Spiking map of label emu at 12 ms, largest magnitude ")
    assert shown.find("rate").accessible_name == "Map of label emu of the rate network"


@pytest.mark.browser
def test_a_thousand_labels_play(opened):
    import xarray as xr

    rng = np.random.default_rng(0)
    cam = rng.normal(size=(1, 100, 1001, 4, 4)).astype(np.float32)
    dims, centers = ("image", "time", "label", "y", "x"), np.arange(4.0)
    coords = {"image": [0], "time": 0.001 * np.arange(1, 101), "label": range(1001), "y": centers, "x": centers}
    spiking = xr.Dataset({"cam": (dims, cam), "logits": (dims[:3], cam.mean((3, 4)))}, coords)
    shown = opened(player(spiking), smoothing="running mean")
    script = """
        const slider = document.getElementById("time"), began = performance.now();
        for (let step = 0; step < 100; step++) {
            slider.value = step;
            slider.dispatchEvent(new Event("input"));
        }
        return (performance.now() - began) / 100"""
    # Milliseconds a frame; shall be 50.
    assert shown.run(script) < 100
    assert shown.time == "100 ms"


@pytest.mark.browser
@pytest.mark.parametrize("width", [500, 1100])
def test_a_notebook_shows_the_page_in_a_frame_of_its_height(browser, spiking, rate, images, tmp_path, width):
    shown = player(spiking, rate, images)._repr_html_()
    page = f'<!DOCTYPE html><div style="width: {width}px">{shown}</div>'
    (tmp_path / "notebook.html").write_text(page, encoding="utf-8")
    browser.get((tmp_path / "notebook.html").as_uri())
    browser.switch_to.frame(0)

    def wait_until(text):
        until = time.monotonic() + 20
        while browser.find_element("id", "time-shown").text != text:
            assert time.monotonic() < until, f"{text!r} is never shown"
            time.sleep(0.05)

    wait_until("12 ms")
    browser.find_element("id", "time").send_keys("\ue011")
    wait_until("1 ms")
    browser.find_element("id", "play").click()
    wait_until("12 ms")
    script = "const e = document.documentElement; return [e.scrollHeight, e.clientHeight, e.scrollWidth, e.clientWidth]"
    until = time.monotonic() + 20
    while browser.execute_script("return document.body.clientHeight < innerHeight - 2") and time.monotonic() < until:
        time.sleep(0.05)
    height, inner_height, page_width, inner_width = browser.execute_script(script)
    assert height == inner_height and page_width == inner_width
    assert browser.execute_script("return innerHeight - document.body.clientHeight") <= 2


@pytest.mark.browser
def test_colors_are_those_of_the_color_map(opened, spiking, rate):
    import matplotlib

    shown = opened(player(spiking, rate, label="dog", smoothing="none"))
    shown.move(6)
    reach = np.abs(rate["cam"].values[0, 1]).max()
    for name, values in (("spiking", spiking["cam"].values[0, 6, 1]), ("rate", rate["cam"].values[0, 1])):
        expected = 255 * matplotlib.colormaps["RdBu_r"](0.5 + values / reach / 2)[..., :3]
        # Half a step of 254, and one entry of the table.
        assert np.abs(shown.cells(4, 5, name) - expected).max() < 12, name
    assert shown.text("#bar-ticks span:last-child").endswith(f"{reach:.3g}")
    assert shown.text("#bar-title") == "CAM [logit]"


def test_data_hold_the_images(spiking, rng):
    films = rng.uniform(size=(3, 12, 8, 10, 3))
    films[:, 0, 0, 0], films[:, 0, 0, 1] = 0, 1  # what the display is stretched to
    text = player(spiking, images=films).to_html(smoothing="none")
    np.testing.assert_array_equal(array(text, "pictures", "u1", films.shape), np.rint(255 * films))
    assert facts_of(text)["pictures"]["frames"] == [list(range(12))] * 3
    # Of maps at every third step each has the frame of its time.
    text = player(spiking.isel(time=[2, 5, 8]), images=films).to_html(smoothing="none")
    assert facts_of(text)["pictures"]["frames"] == [[2, 5, 8]] * 3


@pytest.mark.browser
def test_films_play_in_their_colors(opened, spiking, rng):
    films = rng.uniform(size=(3, 12, 8, 10, 3))
    films[:, 0, 0, 0], films[:, 0, 0, 1] = 0, 1
    spiking["cam"][:] = 0
    shown = opened(player(spiking, images=films, image=1, alpha=0.5, smoothing="none"), smoothing="none")
    for step in (0, 7):
        shown.move(step)
        np.testing.assert_allclose(shown.cells(8, 10, "input"), 255 * films[1, step], atol=1)
        # Below the map it is a lighter gray; the map is zero, whose color is nearly white.
        gray = films[1, step] @ [0.299, 0.587, 0.114]
        neutral = np.array([247, 247, 247])
        expected = 0.5 * neutral + 0.5 * (255 * gray[..., None] + 255) / 2
        np.testing.assert_allclose(shown.cells(8, 10), expected, atol=3)


@pytest.mark.browser
@pytest.mark.parametrize(("scale", "share"), [((-2, 2), 0.5), ((-2, 4), 1 / 3), ((-1, 9), None), ((1, 2), None)])
def test_zero_stands_where_it_is(opened, spiking, scale, share):
    shown = opened(player(spiking, scale=scale))
    tick, bar = shown.find("bar-ticks").find_elements("tag name", "span")[1], shown.find("bar")
    assert tick.is_displayed() == (share is not None)
    if share is not None:
        middle = tick.rect["x"] + tick.rect["width"] / 2
        assert abs((middle - bar.rect["x"]) / bar.rect["width"] - share) < 0.01


@pytest.mark.browser
def test_burn_in_single_steps_and_nothing_else(opened, spiking):
    shown = opened(player(ncam.agreement.cumulative(spiking, burn_in=3)))
    assert shown.run("return document.querySelectorAll('.choices label:not([hidden])').length") == 3
    assert shown.run("return document.getElementById('rate-figure').hidden")
    script = "return document.getElementById('spiking').getContext('2d').getImageData(3, 3, 1, 1).data[3]"
    blank = shown.run(script)
    # The last step is shown first, which is not blank.
    assert blank == 255
    shown.move(1)
    assert shown.run(script) == 0
    opened(player(spiking.isel(time=[0], image=[0], label=[0])))


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(opened, spiking, rate, images, scores, width):
    shown = opened(player(spiking, rate, images, scores=scores))
    shown.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        assert shown.run("return document.documentElement.scrollWidth") <= width
    finally:
        shown.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.browser
def test_no_requests(opened, spiking, rate, images, scores):
    shown = opened(player(spiking, rate, images, scores=scores))
    shown.move(5)
    shown.click("play")
    shown.wait(lambda: shown.time == "12 ms")
    messages = [json.loads(entry["message"])["message"] for entry in shown.browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in urls if url.startswith("file:")]) == 1


def test_the_page_of_a_level_says_so(spiking, rate, scores):
    held = ncam.cumulative(spiking.assign_attrs(readout="level"))
    # Compared before a smoothing that the page offers.
    made = player(held, rate, scores=scores.assign_attrs(held.attrs, references="those"))
    facts = facts_of(made.to_html())
    kinds = [("none", "spiking, held level", True), ("lowpass", "spiking, lowpass 10 ms", False)]
    assert [(s["name"], s["kind"], s["level"]) for s in facts["smoothings"]] == kinds
    assert facts["score"]["notes"] == ["", "maps: level of each step"]
    assert facts["start"]["smoothing"] == 0
    of_spikes = facts_of(player(spiking, rate).to_html())
    assert not any(smoothing["level"] for smoothing in of_spikes["smoothings"])


def test_the_page_names_the_answer_of_a_level_at_the_end(spiking, rate):
    spiking["logits"][:, :-1] = [9.0, 0, 0]
    spiking["logits"][:, -1] = [0, 0, 1.0]
    expected = rate.assign(logits=rate.logits * 0 + xr.DataArray([0.0, 1, 0], dims="label"))
    facts = facts_of(player(spiking.assign_attrs(readout="level"), expected).to_html())
    assert facts["answers"] == [["emu", "dog"]] * 3


@pytest.mark.browser
def test_captions_of_a_level_in_a_browser(opened, spiking, rate):
    shown = opened(player(spiking.assign_attrs(readout="level"), rate, label="dog"))
    shown.move(4)
    assert shown.text("#spiking-figure figcaption") == "spiking, held level, label dog, at 5 ms"
    shown.choose("smoothing", "lowpass")
    assert shown.text("#spiking-figure figcaption") == "spiking, lowpass 10 ms, label dog, 5 ms"


def blended(values, images, between, *, cmap="RdBu_r", alpha=0.65, fades=False):
    """Colors of a map on the lightened image, by NumPy; all of shape (Y, X)."""
    import matplotlib

    low, high = between
    rgba = matplotlib.colormaps[cmap](np.clip((values - low) / (high - low), 0, 1))[..., :3]
    opacity = alpha * (np.clip((values - low) / (high - low), 0, 1) if fades else np.ones_like(values))
    ground = (0.5 + 0.5 * images)[..., None]
    return 255 * (opacity[..., None] * rgba + (1 - opacity[..., None]) * ground)


@pytest.mark.browser
def test_labels_stand_side_by_side(opened, spiking, rate, images):
    labels = ["cat", "dog", "emu", "fox"]
    spiking, rate = (
        xr.concat([result, result.isel(label=[0]) * 0.3], "label").assign_coords(label=labels)
        for result in (spiking.drop_vars("bias"), rate.drop_vars("bias"))
    )
    shown = opened(player(spiking, rate, images, label=["fox", "cat"], smoothing="none"))
    script = "return [...document.querySelectorAll('figure:not([hidden]) figcaption')].map((e) => e.textContent)"
    assert [text.split(", ")[-2 if "ms" in text else -1] for text in shown.run(script)] == [
        "image 10", "label fox", "label fox", "label cat", "label cat",
    ]  # fmt: skip
    # The image, and then a column for each label: its spiking map above its rate map.
    places = {name: shown.find(f"{name}-figure").rect for name in ("input", "spiking", "rate", "spiking-1", "rate-1")}
    assert places["input"]["y"] == places["spiking"]["y"] == places["spiking-1"]["y"] < places["rate"]["y"]
    assert places["input"]["x"] < places["spiking"]["x"] == places["rate"]["x"] < places["spiking-1"]["x"]
    # One limit for all that stands side by side: the larger of theirs.
    reach = float(np.abs(rate.cam.sel(image=10, label=["fox", "cat"])).max())
    assert shown.text("#bar-ticks span:last-child").split()[-1] == f"{reach:.3g}"
    script = "return [...document.getElementById('label').options].map((option) => option.textContent)"
    assert shown.run(script) == ["winner", "fox, cat", "top 3", *labels]
    shown.choose("label", "top 3")
    strongest = np.array(labels)[np.argsort(-spiking.logits.values[0, -1])][:3]
    for i, label in enumerate(strongest):
        assert f"label {label}," in shown.text(f"#spiking{f'-{i}' * (i > 0)}-figure figcaption")
        canvas = shown.cells(4, 5, f"spiking{f'-{i}' * (i > 0)}").astype(int)
        values = spiking.cam.sel(label=label).values[0, -1]
        strong = np.unravel_index(np.abs(values).argmax(), values.shape)
        assert (canvas[strong][0] > canvas[strong][2]) == (values[strong] > 0)
    # What is drawn of each image are its own three; of a label alone, there is no copy.
    shown.choose("image", "11")
    strongest = np.array(labels)[np.argsort(-spiking.logits.values[1, -1])][:3]
    assert f"label {strongest[2]}," in shown.text("#spiking-2-figure figcaption")
    shown.choose("label", "dog")
    assert shown.run("return document.querySelectorAll('.copy').length") == 0
    places = [shown.find(f"{name}-figure").rect["y"] for name in ("input", "spiking", "rate")]
    assert len(set(places)) == 1


def test_choices_of_several_labels_are_in_the_page(spiking):
    facts = facts_of(player(spiking, label=("emu", "cat")).to_html())
    assert facts["choices"] == [{"text": "emu, cat", "labels": [2, 0]}] and facts["start"]["label"] == -2
    facts = facts_of(player(spiking, label="top2").to_html())
    assert facts["choices"] == [{"text": "top 2", "top": 2}] and facts["start"]["label"] == -2
    facts = facts_of(player(spiking, label=["emu"]).to_html())
    assert facts["choices"] == [] and facts["start"]["label"] == 2
    assert facts_of(player(spiking).to_html())["start"]["label"] == -1


def many_labels(rng, n_steps=30, n_labels=1000, n_images=2):
    """Maps of a thousand labels, of which some ten are far above the others of each image."""
    dims, centers = ("image", "time", "label", "y", "x"), np.arange(4.0)
    cam = rng.normal(size=(n_images, n_steps, n_labels, 4, 4))
    for i in range(n_images):
        cam[i, :, 100 * i : 100 * i + 10] += np.arange(10)[:, None, None] + 5
    coords = {"image": range(n_images), "time": 0.001 * np.arange(1, n_steps + 1), "label": range(n_labels)}
    coords.update(y=centers, x=centers)
    return xr.Dataset({"cam": (dims, cam.astype(np.float32)), "logits": (dims[:3], cam.mean((3, 4)))}, coords)


def test_a_page_of_a_thousand_labels_holds_those_that_count(rng):
    spiking = many_labels(rng)
    mean = ncam.cumulative(spiking)
    answered = spiking.assign(answer=("image", [9, 777]), cnn_answer=("image", [9, 109]))
    made = player(answered, label=[500, 9], smoothing="none")
    text = made.to_html(smoothing=["running mean"])
    facts = facts_of(text)
    held = [int(label) for label in facts["labels"]]
    expected = {9, 109, 500, 777, *mean.logits.values.argmax(-1).ravel().tolist()}
    for row in mean.logits.values[:, -1]:
        expected |= set(sorted(range(1000), key=lambda label: -row[label])[:20])
    assert held == sorted(expected) and (facts["n_labels"], facts["n_others"]) == (1000, 1000 - len(held))
    # The rest is a band, at each step.
    others = [label for label in range(1000) if label not in expected]
    for name, end in (("low", np.min), ("high", np.max)):
        found = array(text, name, "<f4", (1, 2, 30))
        np.testing.assert_allclose(found[0], end(mean.logits.values[..., others], axis=-1), rtol=1e-5)
    cells = np.cumsum(array(text, "cells", np.int8, (1, 2, len(held), 30, 4, 4)), axis=3, dtype=np.int8)
    peaks = array(text, "peaks", "<f4", (1, 2, len(held), 30))
    maps = mean.cam.sel(label=held).transpose("image", "label", "time", "y", "x").values
    np.testing.assert_allclose(cells[0] * peaks[0, ..., None, None] / 127, maps, atol=0.004 * np.abs(maps).max())
    assert len(text) < 3e5
    assert len(facts_of(player(spiking.isel(label=slice(50))).to_html())["labels"]) == 50


@pytest.mark.browser
def test_of_a_thousand_labels_the_strongest_are_drawn_and_named(opened, rng):
    spiking = many_labels(rng)
    shown = opened(player(spiking), smoothing="running mean")
    order = np.argsort(-ncam.cumulative(spiking).logits.values[0, -1])
    entries = shown.run("return [...document.querySelectorAll('#legend span')].map((e) => e.textContent)")
    assert entries == [
        f"label {order[0]}", f"label {order[1]} (strongest other)", *(f"label {order[i]}" for i in (2, 3, 4)),
        "995 other labels",
    ]  # fmt: skip
    assert shown.run("return document.querySelectorAll('#logits path.band').length") == 1
    # A line each: the five that are named, and the frame.
    assert shown.run("return document.querySelectorAll('#logits path:not(.band)').length") == 6
    assert "of 1000 labels" in shown.text("#kept")
    assert shown.text("#reading") == (
        f"At 30 ms label {order[0]} leads with a logit of {ncam.cumulative(spiking).logits.values[0, -1].max():.3g}."
    )


def test_logits_of_labels_without_maps_are_drawn_too(spiking):
    every = spiking.rename(label="all_label").logits
    kept = spiking.isel(label=[2]).assign(all_logits=every, all_bias=spiking.bias.rename(label="all_label"))
    text = player(kept, smoothing="none").to_html(smoothing="none")
    facts = facts_of(text)
    assert (facts["labels"], facts["names"], facts["columns"]) == (["emu"], ["cat", "dog", "emu"], [2])
    np.testing.assert_array_equal(array(text, "logits", "<f4", (1, 3, 12, 3)), every.values[None])


@pytest.mark.browser
def test_coarse_cells_are_smooth_and_reach_the_edges(opened, rng):
    """As by NumPy: bilinear between the centers of the cells, and beyond the outermost of them level."""
    cells = 20.0 * np.arange(3) + 29.5
    cam = rng.normal(size=(1, 2, 1, 3, 3)).astype(np.float32)
    dims = ("image", "time", "label", "y", "x")
    coords = {"image": [0], "time": [0.001, 0.002], "label": ["cat"], "y": cells, "x": cells}
    spiking = xr.Dataset({"cam": (dims, cam), "logits": (dims[:3], cam.mean((3, 4)))}, coords)
    images = rng.random((1, 100, 100, 1))
    images.flat[:2] = 0, 1
    places = np.arange(100.0)
    smooth = np.stack([np.interp(places, cells, row) for row in cam[0, 1, 0]])
    smooth = np.stack([np.interp(places, cells, column) for column in smooth.T]).T
    nearest = np.abs(places[:, None] - cells).argmin(axis=1)
    reach = np.abs(cam[0, 1]).max()
    for interpolation, values in ((None, smooth), ("nearest", cam[0, 1, 0][nearest][:, nearest])):
        made = player(spiking, None, images, smoothing="none", interpolation=interpolation, scale=(-reach, reach))
        shown = opened(made, smoothing="none")
        expected = blended(values, images[0, ..., 0], (-reach, reach))
        # Half a step of the bytes of a map and of a color, and less than a pixel of place.
        assert np.percentile(np.abs(shown.cells(100, 100) - expected), 99) < 8, interpolation
        corner = blended(cam[0, 1, 0, :1, :1], images[0, 98:99, 98:99, 0] * 0 + images[0, 0, 0, 0], (-reach, reach))
        assert np.abs(shown.cells(100, 100)[0, 0] - corner[0, 0]).max() < 6


@pytest.mark.browser
def test_heat_maps_fade_in_and_say_so(opened, spiking, rate, images):
    stretched = images[..., 0].copy()
    for image in stretched:
        image.flat[:2] = 0, 255
    shown = opened(
        player(
            spiking, rate, stretched, style="heatmap", label="dog", smoothing="none", title="Where?\nHere",
            interpolation="nearest",
        )
    )  # fmt: skip
    shown.move(6)
    assert shown.text("h1") == "Where?\nHere" and shown.text("#bar-title") == "CAM [logit], positive part only"
    reach = rate.cam.values[0, 1].max()
    assert shown.text("#bar-ticks span").strip() == "0"
    assert shown.text("#bar-ticks span:last-child").split()[-1] == f"{reach:.3g}"
    values = np.repeat(np.repeat(spiking.cam.values[0, 6, 1], 2, axis=0), 2, axis=1)
    expected = blended(values, stretched[0] / 255, (0, reach), cmap="inferno", fades=True)
    assert np.abs(shown.cells(8, 10) - expected).max() < 8


@pytest.fixture
def signals(rng):
    """Maps of 6 cells over signals of 24 samples in two channels, whose time is in the user's coordinates."""
    cells = 4.0 * np.arange(6) + 1.5
    cam = rng.normal(size=(2, 12, 3, 6)).astype(np.float32)
    dims = ("image", "time", "label", "x")
    coords = {"image": [0, 1], "time": 0.001 * np.arange(1, 13), "label": ["cat", "dog", "emu"], "x": cells}
    spiking = xr.Dataset({"cam": (dims, cam), "logits": (dims[:3], cam.mean(-1))}, coords)
    spiking.attrs.update(
        input_shape=[24, 2], dt=0.001, readout="level", coords=json.dumps({"x": [10 * i for i in range(24)]})
    )
    return spiking, spiking.isel(time=-1, drop=True), rng.normal(size=(2, 24, 2))


def test_data_hold_maps_of_signals(signals):
    spiking, rate, inputs = signals
    text = player(spiking, rate, inputs).to_html(smoothing="none")
    facts = facts_of(text)
    assert facts["flat"] and facts["shape"] == [1, 6] and facts["whole"][:2] == [-0.5, 23.5]
    cells = np.cumsum(array(text, "cells", np.int8, (1, 2, 3, 12, 1, 6)), axis=3, dtype=np.int8)
    peaks = array(text, "peaks", "<f4", (1, 2, 3, 12))
    maps = spiking.cam.transpose("image", "label", "time", "x").values
    np.testing.assert_allclose(cells[0, ..., 0, :] * peaks[0, ..., None] / 127, maps, atol=0.02)
    shown = (inputs - inputs.min(axis=(1, 2), keepdims=True)) / np.ptp(inputs, axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(array(text, "pictures", "u1", (2, 1, 1, 24, 2))[:, 0, 0], np.rint(255 * shown))
    # Ten units to a sample, the first of which is in the middle of its pixel.
    assert facts["ticks"]["x"] == [[round((i / 10 + 0.5) / 24, 5), str(i)] for i in (0, 100, 200)]
    assert "y" not in facts["ticks"]


@pytest.mark.browser
def test_signals_have_curves_and_a_map_over_time(opened, signals):
    import matplotlib

    spiking, rate, inputs = signals
    shown = opened(player(spiking, rate, inputs, label="dog", scale="shared"))
    script = "return [...document.querySelectorAll('figure:not([hidden])')].map((figure) => figure.id)"
    assert shown.run(script) == ["input-figure", "spiking-figure", "history-figure", "rate-figure"]
    ticks = "return [...document.querySelectorAll('#spiking-figure .below span')].map((span) => span.textContent)"
    assert shown.run(ticks) == ["0", "100", "200"]
    reach = float(np.abs(rate.cam).max())
    # Rows of the heat map are the steps; the line at the current one covers it.
    shown.move(0)
    found = shown.cells(12, 6, "history")[1:]
    colors = matplotlib.colormaps["RdBu_r"](np.clip(0.5 + spiking.cam.values[0, 1:, 1] / reach / 2, 0, 1))[..., :3]
    script = """
        const canvas = document.getElementById("history"), context = canvas.getContext("2d");
        const [x, y] = [canvas.width / 12, (3.5 * canvas.height) / 12].map(Math.floor);
        return [...context.getImageData(x, y, 1, 1).data]"""
    assert np.abs(found - 255 * colors).max() < 14
    assert abs(shown.run(script)[3] / 255 - 0.65) < 0.01
    # The curve is at the height of its value.
    shown.move(7)
    script = """
        const canvas = document.getElementById("spiking"), x = Math.round(arguments[0] * canvas.width);
        const column = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height).data, dark = [];
        for (let y = 0; y < canvas.height; y++)
            if (column[4 * y + 3] > 200 && column[4 * y] + column[4 * y + 1] + column[4 * y + 2] < 90) dark.push(y);
        return [dark.reduce((a, b) => a + b, 0) / dark.length / canvas.height, dark.length]"""
    for cell, value in enumerate(spiking.cam.values[0, 7, 1]):
        height = (value / reach + 1) / 2
        if 0.1 < height < 0.9 and abs(height - 0.5) > 0.1:
            place, n_dark = shown.run(script, (cell + 0.5) / 6)
            assert n_dark > 0
            np.testing.assert_allclose(1 - place, (height + 0.08) / 1.16, atol=0.03)
    # A click on a row goes there.
    from selenium.webdriver.common.action_chains import ActionChains

    canvas = shown.find("history")
    ActionChains(shown.browser).move_to_element_with_offset(
        canvas, 0, round((4.5 / 12 - 0.5) * canvas.rect["height"])
    ).click().perform()
    assert shown.time == "5 ms"


def test_one_plane_of_volumes_is_in_the_page(rng):
    cam = rng.normal(size=(1, 4, 2, 3, 4, 4)).astype(np.float32)
    dims, centers = ("image", "time", "label", "z", "y", "x"), np.arange(4.0)
    coords = {"image": [0], "time": 0.001 * np.arange(1, 5), "label": [0, 1], "z": 2.0 * np.arange(3) + 0.5}
    coords.update(y=centers, x=centers)
    spiking = xr.Dataset({"cam": (dims, cam), "logits": (dims[:3], cam.mean((3, 4, 5)))}, coords)
    volumes = rng.random((1, 6, 4, 4, 1))
    strongest = np.zeros((1, 4, 2, 4, 4), np.float32)
    for index in np.ndindex(strongest.shape):
        column = cam[(*index[:3], slice(None), *index[3:])]
        strongest[index] = max(column, key=abs)
    for plane, maps, picture in (("strongest", strongest, volumes.mean(1)), (1, cam[:, :, :, 1], volumes[:, 2])):
        made = player(spiking, None, volumes, plane=plane, smoothing="none")
        text = made.to_html(smoothing="none")
        cells = np.cumsum(array(text, "cells", np.int8, (1, 1, 2, 4, 4, 4)), axis=3, dtype=np.int8)
        peaks = array(text, "peaks", "<f4", (1, 1, 2, 4))
        found = cells[0] * peaks[0, ..., None, None] / 127
        np.testing.assert_allclose(found, maps.transpose(0, 2, 1, 3, 4), atol=0.02)
        shown = (picture - picture.min()) / np.ptp(picture)
        np.testing.assert_array_equal(array(text, "pictures", "u1", (1, 1, 4, 4, 1))[:, 0], np.rint(255 * shown))
        assert facts_of(text)["plane"] == ("strongest along z" if plane == "strongest" else "plane 1")
        made.draw(2)
        label = spiking.logits.values[0, -1].argmax()
        np.testing.assert_array_equal(made.stage.panel.maps[0].get_array(), maps[0, 2, label])


@pytest.mark.browser
def test_rows_and_columns_have_the_coordinates_of_the_user(opened, spiking, images):
    spiking.attrs["coords"] = json.dumps({"y": [5 * i for i in range(8)], "x": [f"gene {i}" for i in range(10)]})
    shown = opened(player(spiking, None, images))
    script = """return [...document.querySelectorAll(arguments[0])]
        .map((span) => [span.textContent, span.style[arguments[1]]])"""
    found = shown.run(script, "#spiking-figure .beside span", "top")
    assert found == [[str(value), f"{100 * (value / 5 + 0.5) / 8:g}%"] for value in (0, 10, 20, 30)]
    names = shown.run(script, "#input-figure .below span", "left")
    assert [name for name, _ in names] == [f"gene {i}" for i in (0, 2, 4, 6, 8)]
    # Names side by side would run into each other.
    assert shown.run("return document.querySelector('#input-figure .below').classList.contains('upright')")
