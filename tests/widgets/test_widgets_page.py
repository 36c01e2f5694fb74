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
    assert shown.text("#rate-figure figcaption") == f"rate, label {names[1]}"
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
