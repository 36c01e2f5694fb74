import base64
import html
import html.parser
import re

import numpy as np
import pytest
import xarray as xr

from nengo_cam import compare, cumulative, decision_latency, explanation_latency, latency_summary
from nengo_cam.exceptions import OutputPathError, ParameterError
from nengo_cam.reports.comparison_page import write_page
from nengo_cam.reports.comparison_report import check_request, report_comparison

LABELS = ["cat", "dog", "<emu>", "fox"]
FILES = ["agreement.png", "comparison.png", "latency.png", "report.html", "scores.nc"]


def build(rng, n_steps):
    lead = (5, n_steps) if n_steps else (5,)
    dims = ("image", "time", "label", "y", "x") if n_steps else ("image", "label", "y", "x")
    centers = 2.0 * np.arange(4) + 0.5
    cam = rng.normal(size=(*lead, 4, 4, 4)).astype(np.float32)
    coords = {"image": np.arange(5), "label": LABELS, "y": centers, "x": centers}
    if n_steps:
        coords["time"] = 0.001 * np.arange(1, n_steps + 1)
    # The emu never wins.
    logits = cam.mean(axis=(-2, -1)) - 9 * (np.arange(4) == 2)
    attrs = {"model": "a & b", "input_shape": [8, 8, 1], "dt": 0.001, "seed": 7, "simulator": "none"}
    return xr.Dataset({"cam": (dims, cam), "logits": (dims[:-2], logits)}, coords, attrs)


@pytest.fixture
def rate():
    return build(np.random.default_rng(1), 0)


@pytest.fixture
def spiking(rate):
    """Maps that come ever nearer to those of the rate network."""
    noise = build(np.random.default_rng(2), 12)
    weights = xr.DataArray(np.linspace(0, 0.99, 12), dims="time")
    mixed = (weights * rate + (1 - weights) * noise).transpose("image", "time", "label", "y", "x")
    return mixed.assign_attrs(noise.attrs)


@pytest.fixture
def images():
    return np.random.default_rng(3).random((5, 8, 8, 1))


class Cells(html.parser.HTMLParser):
    """Rows of tables as text, and sources of images."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.sources, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.open.append(tag)
        elif tag == "img":
            self.sources.append(dict(attrs)["src"])

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.rows[-1][-1] += data


def test_scores_and_latencies_are_those_of_the_functions(spiking, rate, images, tmp_path):
    report = report_comparison(spiking, rate, images, threshold=0.8)
    assert sorted(path.name for path in report.save(tmp_path / "out")) == FILES
    with xr.open_dataset(tmp_path / "out" / "scores.nc", engine="h5netcdf") as saved:
        whole = compare(spiking, rate)
        for name in ("pearson", "rmse", "topk_iou"):
            np.testing.assert_array_equal(saved[name], whole[name].sel(label=saved.label))
        np.testing.assert_array_equal(saved.decision_latency, decision_latency(spiking).latency)
        expected = explanation_latency(whole, "pearson", 0.8).latency
        np.testing.assert_array_equal(saved.explanation_latency, expected)
        np.testing.assert_array_equal(saved.compared_label, whole.spiking_answer)
        assert set(saved.label.values) == {*whole.spiking_answer.values, *whole.rate_answer.values}
        assert (saved.attrs["seed"], saved.attrs["metric"], saved.attrs["threshold"]) == (7, "pearson", 0.8)
    xr.testing.assert_identical(
        report.summary, latency_summary(decision_latency(spiking), explanation_latency(whole, "pearson", 0.8))
    )


def test_the_page_holds_figures_and_tables(spiking, rate, images, tmp_path):
    report = report_comparison(spiking, rate, images)
    report.save(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Cells(text)
    pictures = [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in page.sources]
    assert pictures == [(tmp_path / f"{name}.png").read_bytes() for name in ("comparison", "agreement", "latency")]
    # Self-contained: nothing is loaded.
    assert not re.search(r"(src|href)\s*=\s*.(?!data:)|url\(|@import|<script|<link", text)
    rows = {row[0]: row[1:] for row in page.rows}
    whole = compare(spiking, rate)
    last = [float(whole.pearson[i, -1].sel(label=whole.spiking_answer[i])) for i in range(5)]
    assert rows["correlation of maps (Pearson)"][:3] == [f"{q:.4g}" for q in np.quantile(last, [0.25, 0.5, 0.75])]
    assert rows["correlation of maps (Pearson)"][3:] == ["0", "-1 to 1", "higher"]
    decision = decision_latency(spiking)
    for i in range(5):
        answers = [str(whole.rate_answer.values[i]), str(whole.spiking_answer.values[i])]
        assert rows[str(i)][:3] == [*answers, answers[1]]
        assert rows[str(i)][3] == f"{1000 * float(decision.latency[i]):g}"
        assert rows[str(i)][5] == f"{last[i]:.4g}"
    latencies = 1000 * latency_summary(decision, explanation_latency(whole, "pearson", 0.9)).latency
    for name in ("decision", "explanation"):
        expected = ["never" if np.isnan(value) else f"{value:g}" for value in latencies.sel(of=name).values]
        assert rows[f"{name} latency"][:3] == expected
    assert rows["seed"] == ["7"]
    assert "<title>a &amp; b: spiking against rate maps</title>" in text
    assert "There is no raster: features that pass a synapse are no spikes." in text


class Titles(html.parser.HTMLParser):
    """Text of the title and of the headings, and names of all elements."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.elements, self.open = {"title": [], "h1": []}, set(), None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.open = tag
        if tag in self.texts:
            self.texts[tag].append("")

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open in self.texts:
            self.texts[self.open][-1] += data


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("mobilenet", "mobilenet: spiking against rate maps"),
        ("</title><script>alert(1)</script>", "</title><script>alert(1)</script>: spiking against rate maps"),
        ("a & \"b\" 'c'", "a & \"b\" 'c': spiking against rate maps"),
        ("", "network: spiking against rate maps"),
        (None, "network: spiking against rate maps"),
    ],
)
def test_the_page_says_once_what_it_is_about(spiking, rate, images, monkeypatch, model, expected):
    if model is not None:
        spiking.attrs["model"] = rate.attrs["model"] = model
    else:
        del spiking.attrs["model"], rate.attrs["model"]
    report = report_comparison(spiking, rate, images)
    page = Titles(write_page(report.scores, report.summary, ["<script>note</script>"], {"agreement": b""}))
    assert page.texts == {"title": [expected], "h1": [expected]}
    assert "script" not in page.elements


def test_names_cannot_break_the_page(spiking, rate, images):
    names = ["<script>alert(1)</script>", "\"quoted\" & 'so'", "</td></table>", "fox"]
    spiking, rate = (result.assign_coords(label=names) for result in (spiking, rate))
    spiking = spiking.assign_coords(image=[*names, "<img src=x>"])
    rate = rate.assign_coords(image=spiking.image.values)
    report = report_comparison(spiking, rate, images, label=names[0])
    text = write_page(report.scores, report.summary, [], {})
    assert "script" not in Titles(text).elements and "img" not in Titles(text).elements
    rows = {row[0]: row[1:] for row in Cells(text).rows}
    answers = report.scores.spiking_answer.values.tolist()
    for image, answer in zip(report.scores.image.values.tolist(), answers):
        assert rows[image][1:3] == [answer, names[0]]


def test_one_label_for_all(spiking, rate, images, tmp_path):
    report = report_comparison(spiking, rate, images, label="<emu>", metric="rmse", threshold=0.5, shown=[4, 0])
    whole = compare(spiking, rate)
    expected = explanation_latency(whole, "rmse", 0.5, label="<emu>").latency
    np.testing.assert_array_equal(report.scores.explanation_latency, expected)
    assert set(report.scores.compared_label.values) == {"<emu>"}
    rows = report.figures["comparison"].axes
    assert [ax.get_ylabel() for ax in rows if ax.get_ylabel()] == ["image 4\n<emu>", "image 0\n<emu>"]
    report.save(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<emu>" not in text and "&lt;emu&gt;" in text


def test_a_raster_if_there_are_spikes(spiking, rate, images):
    counts = np.random.default_rng(4).choice([0, 0, 1, 2], (1, 12, 3, 4, 4))
    features = spiking.isel(image=[3]).assign(features=(("image", "time", "channel", "y", "x"), counts))
    features = features.assign_coords(image=[0]).assign_attrs(synapse="None")
    report = report_comparison(spiking, rate, images, features=features, shown=[3], label="cat")
    assert not any("raster" in note for note in report.notes)
    assert "image 3\ncat" in [ax.get_title() for ax in report.figures["raster"].axes]
    flat = features.assign(features=features.features + 0.3)
    report = report_comparison(spiking, rate, images, features=flat, shown=[3], label="cat")
    assert "raster" not in report.figures
    assert report.notes[-1].startswith("There is no raster: spiking: its features are no spikes")


def test_maps_that_stay_blank_and_never_settle(spiking, rate, images, tmp_path):
    report = report_comparison(spiking.assign(cam=spiking.cam * 0), rate, images)
    report.save(tmp_path)
    rows = {row[0]: row[1:] for row in Cells((tmp_path / "report.html").read_text(encoding="utf-8")).rows}
    assert rows["correlation of maps (Pearson)"][:4] == ["undefined"] * 3 + ["5"]
    assert rows["explanation latency"][:4] == ["never", "never", "never", "1.000"]
    assert rows["0"][4:] == ["never", "undefined"]
    assert rows["rank correlation"] == ["undefined, over 0 images that settle in both"]


def test_files_are_replaced_and_others_stay(spiking, rate, images, tmp_path):
    report = report_comparison(spiking, rate, images)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.html").write_text("old")
    report.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("there", [False, True])
def test_all_files_or_none(spiking, rate, images, tmp_path, monkeypatch, there):
    report = report_comparison(spiking, rate, images)
    out = tmp_path / "out"
    if there:
        out.mkdir()
        (out / "comparison.png").write_text("old")
    monkeypatch.setattr(xr.Dataset, "to_netcdf", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        report.save(out)
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if there else [])
    if there:
        assert [(path.name, path.read_text()) for path in out.iterdir()] == [("comparison.png", "old")]


def test_requests_are_checked_and_leave_nothing_behind(tmp_path):
    check_request(tmp_path / "a" / "b", metric="rmse", threshold=7)
    check_request(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputPathError, match=r"file' is a file; expected a folder"):
            check_request(path)
    (tmp_path / "scores.nc").mkdir()
    with pytest.raises(OutputPathError, match=r"scores.nc.*expected a file name, got a folder"):
        check_request(tmp_path)
    with pytest.raises(ParameterError, match="metric 'speed': unknown"):
        check_request(None, metric="speed")
    for threshold in (1.1, np.nan, np.inf, "high", True):
        with pytest.raises(ParameterError, match=r"threshold: expected a number from -1 to 1, the range of 'pearson'"):
            check_request(None, threshold=threshold)
    with pytest.raises(ParameterError, match="threshold: expected a number from 0 to inf, .* got inf"):
        check_request(None, metric="rmse", threshold=np.inf)


def test_answers_that_differ_are_said_on_the_page(spiking, rate, images, tmp_path):
    answered = spiking.assign(answer=("image", ["cat"] * 5), cnn_answer=("image", ["cat"] * 3 + ["<emu>", "fox"]))
    report = report_comparison(answered, rate, images)
    said = "for 2 of 5 images: image 3 (cat; the CNN: <emu>), image 4 (cat; the CNN: fox)."
    assert report.notes[0].endswith(said)
    report.save(tmp_path / "out")
    assert html.escape(said) in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    same = answered.assign(cnn_answer=answered.answer)
    assert not any("another answer" in note for note in report_comparison(same, rate, images).notes)


def test_the_page_says_how_a_level_is_read(spiking, rate, images, tmp_path):
    rng = np.random.default_rng(5)
    levels = rng.choice([0, 0, 3, -2], size=(1, 12, 6, 4, 4)).cumsum(axis=1).astype(float)
    held = cumulative(spiking.assign_attrs(readout="level", spike_kind="power of two"))
    features = held.isel(image=[0]).assign(features=(("image", "time", "channel", "y", "x"), levels))
    features.attrs["synapse"] = "None"
    report = report_comparison(held, rate, images, features=features)
    # Scores of the steps themselves.
    expected = compare(spiking, rate).pearson.sel(label=report.scores.label)
    np.testing.assert_array_equal(report.scores.pearson, expected)
    report.save(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in Cells(text).rows}
    assert rows["maps and logits"] == ["the level at each step, not averaged"]
    assert rows["spikes"] == ["power of two"]
    assert re.search(r"a longer one is a larger spike.*What is sent: power of two\.</figcaption>", text)
    titles = [ax.get_title() for ax in report.figures["comparison"].axes[1:5]]
    assert titles == ["rate", "at 1 ms", "at 4 ms", "at 12 ms"]


def test_the_page_says_how_unit_spikes_are_read(spiking, rate, images, tmp_path):
    for maps, said in ((spiking, "of each step by itself"), (cumulative(spiking), "running mean")):
        maps = maps.assign_attrs(readout="mean", spike_kind="unit")
        report_comparison(maps, rate, images).save(tmp_path)
        rows = {row[0]: row[1:] for row in Cells((tmp_path / "report.html").read_text(encoding="utf-8")).rows}
        assert (rows["maps and logits"], rows["spikes"]) == ([said], ["unit"])
