"""Whatever things are called, they are drawn so, and no name ends a figure."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure

import nengo_cam as ncam
from nengo_cam import plotting
from nengo_cam.plotting.text import LONGEST_NAME, in_two_lines, literal, name_of, plain

# Mathematics that can be parsed, that cannot, and what TeX would do something else with.
MATHS = ["a$b^c$", r"$\f_{$", r"5\$%#&~"]
CUT = "n" * 300
UGLY = {
    "a\nb\tc\r\nd": "a b c d",
    " \n ": "(no name)",
    "": "(no name)",
    "a\x00b\x1b[31m": "a\ufffdb\ufffd[31m",
    "a\ud800b": "a\ufffdb",
    "\u202elia": "\ufffdlia",
    "a\u2028b": "a b",
    "שלום": "שלום",
    "_under": "_under",
}


@pytest.fixture
def data(rng):
    """Function that gives spiking maps with features, rate maps, images and scores in which everything has one name."""

    def build(name):
        sizes = {"image": 2, "time": 6, "label": 3, "y": 4, "x": 4}
        cam = rng.normal(size=tuple(sizes.values()))
        counts = rng.choice([0, 0, 1, 2], size=(2, 6, 3, 4, 4))
        counts[:, 0] = 1
        centers = 2.0 * np.arange(4) + 0.5
        coords = {"image": [name, "other"], "time": 0.001 * np.arange(1, 7), "label": [name, "dog", f"{name}2"]}
        spiking = xr.Dataset(
            {
                "cam": (tuple(sizes), cam, {"units": name}),
                "logits": (("image", "time", "label"), cam.mean((3, 4)) + np.arange(3)),
                "answer": ("image", [name, name]),
                "cnn_answer": ("image", ["dog", "dog"]),
                "features": (("image", "time", "channel", "y", "x"), counts.astype(float)),
            },
            {**coords, "y": centers, "x": centers},
            {"dt": 0.001, "synapse": "None", "head": f"{name or 'features'} (4x4x3) -> gap -> readout"},
        )
        values = rng.uniform(0, 1, (2, 6, 3))
        scores = xr.Dataset(
            {f"m{name}": (("image", "time", "label"), values, {"units": name, "range": [-1.0, 1.0]})},
            coords,
            {"time_reduction": f"by {name}", "references": "those"},
        )
        rate = spiking.isel(time=-1, drop=True).drop_vars(["features", "answer", "cnn_answer"])
        return spiking, rate, rng.random((2, 8, 8)), scores

    return build


def film(name, spiking, rate, images, scores):
    return ncam.animate(spiking, rate, images, scores=scores, label=name).figure


def timeline(name, spiking, rate, images, scores):
    return ncam.timeline(spiking.assign_attrs(time_reduction=f"by {name}"), rate, images, label=name).figure


def comparison(name, spiking, rate, images, scores):
    return ncam.comparison(spiking, rate, images, label=name).figure


def raster(name, spiking, rate, images, scores):
    return ncam.raster(spiking, images, label=name, neurons=4).figure


def player(name, spiking, rate, images, scores):
    return ncam.player(spiking, rate, images, scores=scores, label=name).stage.figure


def overlay(name, spiking, rate, images, scores):
    return ncam.overlay(rate.cam[0].sel(label=name), images[0]).axes.figure


def titled(name, spiking, rate, images, scores):
    return ncam.overlay(rate.cam[0, 0], images[0], title=f"a map\n{name}").axes.figure


def agreement(name, spiking, rate, images, scores):
    return plotting.agreement(scores, label=name).axes.figure


def latency(name, spiking, rate, images, scores):
    result = xr.Dataset({"latency": ("image", [0.1, 0.2])}, {"image": [0, 1]}, {"criterion": name, "duration": 1.0})
    return plotting.latency(result, result).axes.figure


def tradeoff(name, spiking, rate, images, scores):
    dims = ("neurons", "target_rate", "time")
    values = np.linspace(0, 1, 6).reshape(1, 2, 3)
    curve = xr.Dataset(
        {
            "agreement": (dims, values),
            "spikes_per_image": (dims, 1000 * values),
            "cam_correlation": ((*dims, "quantile"), np.stack([values] * 3, -1)),
        },
        {"neurons": [name], "target_rate": [50, 100], "time": [0.001, 0.002, 0.003], "quantile": [0.25, 0.5, 0.75]},
    )
    return plotting.tradeoff(curve).figure


FIGURES = [film, timeline, comparison, raster, player, overlay, titled, agreement, latency, tradeoff]
# How many texts of each have the name in them: a title or a row, units, a legend.
N_NAMES = [10, 3, 3, 3, 10, 2, 2, 1, 2, 1]


@pytest.fixture
def drawn(monkeypatch):
    """Function that draws a figure, and gives all lines of text that reach the page, each with how it is read."""

    def draw(figure):
        found = []
        real = RendererAgg.draw_text

        def record(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
            found.append((s, ismath))
            return real(self, gc, x, y, s, prop, angle, ismath=ismath, mtext=mtext)

        with monkeypatch.context() as patch:
            patch.setattr(RendererAgg, "draw_text", record)
            for artist in figure.findobj():
                artist.set_animated(False)
            FigureCanvasAgg(figure).draw()
        return found

    return draw


@pytest.mark.filterwarnings("ignore:Glyph .* missing from")
@pytest.mark.parametrize("name", MATHS)
@pytest.mark.parametrize(("figure", "n_names"), zip(FIGURES, N_NAMES), ids=lambda value: getattr(value, "__name__", ""))
def test_names_are_drawn_letter_by_letter(data, drawn, figure, n_names, name):
    found = [(text, ismath) for text, ismath in drawn(figure(name, *data(name))) if name in text]
    assert len(found) >= n_names, found
    assert {ismath for _, ismath in found} == {False}


@pytest.mark.filterwarnings("ignore:Glyph .* missing from")
@pytest.mark.parametrize("name", UGLY)
@pytest.mark.parametrize("figure", [film, comparison, titled, latency], ids=lambda value: value.__name__)
def test_names_stay_on_their_line(data, drawn, figure, name):
    texts = [text for text, _ in drawn(figure(name, *data(name)))]
    if figure is titled and not name.strip():
        assert "a map" in texts
    elif figure is titled and "\n" in name:
        assert {"a map", "a", "b c", "d"} <= set(texts)
    elif figure is titled and "\u2028" in name:
        assert {"a map", "a", "b"} <= set(texts)
    elif figure is latency and not name:
        assert "decision latency [ms]" in texts
    else:
        assert any(UGLY[name] in text for text in texts), texts
    assert not any(character in text for text in texts for character in "\n\t\r\x00\x1b\ud800\u202e\u2028")


@pytest.mark.parametrize("figure", [film, timeline, comparison, raster, overlay], ids=lambda value: value.__name__)
def test_long_names_leave_room_for_the_figure(data, figure):
    drawn = figure(CUT, *data(CUT))
    FigureCanvasAgg(drawn).draw()
    maps = [ax for ax in drawn.axes if ax.images]
    short = figure("cat", *data("cat"))
    FigureCanvasAgg(short).draw()
    for ax, other in zip(maps, [ax for ax in short.axes if ax.images]):
        assert ax.get_window_extent().width > 0.6 * other.get_window_extent().width
    texts = [text.get_text() for text in drawn.findobj(mpl.text.Text) if "nnn" in text.get_text()]
    assert texts and not [text for text in texts if "…" not in text or len(text) > 120]


@pytest.mark.parametrize("usetex", [False, True])
def test_literal_text_is_as_wide_as_its_letters(usetex):
    """Against Matplotlib's own way to write a dollar sign."""
    with mpl.rc_context({"text.usetex": usetex}):
        figure = Figure()
        FigureCanvasAgg(figure)
        ours = literal(figure.text(0, 0, "cost $5_x^2$"))
    expected = figure.text(0, 0, r"cost \$5_x^2\$", usetex=False)
    renderer = figure.canvas.get_renderer()
    assert ours.get_window_extent(renderer).width == expected.get_window_extent(renderer).width
    ours.set_text("now $_$")
    ours.get_window_extent(renderer)


@pytest.mark.parametrize(
    ("name", "expected"), [*UGLY.items(), (7, "7"), (1.5, "1.5"), ("👩‍🚀", "👩‍🚀"), ("x y", "x y")]
)
def test_plain_names(name, expected):
    assert plain(name) == expected


def test_plain_names_are_cut():
    assert plain("black-footed ferret", 12) == "black-foote…"
    assert plain("black and tan", 7) == "black…"
    assert plain("black", 5) == "black"


def test_a_long_name_is_the_same_in_every_figure(data):
    """Broken into two lines or not."""
    name = "the quick brown fox jumps over the lazy dog"
    assert name_of(name) == "the quick brown fox j…" and len(name_of(name)) == LONGEST_NAME
    spiking, rate, images, scores = data("cat")
    # Nothing else is called so.
    spiking, rate, scores = (part.assign_coords(label=[name, "dog", "fox"]) for part in (spiking, rate, scores))
    spiking["answer"] = ("image", [name, name])
    for figure in (film, timeline, comparison, raster, player, overlay):
        texts = figure(name, spiking, rate, images, scores).findobj(mpl.text.Text)
        found = [text for text in (text.get_text().replace("\n", " ") for text in texts) if "the quick" in text]
        assert found and all(name_of(name) in text for text in found), (figure.__name__, found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tabby", "tabby"),
        ("hippopotam", "hippopotam"),
        ("indigo bunting", "indigo\nbunting"),
        ("a very long name", "a very\nlong name"),
        ("hippopotamuses", "hippopo\ntamuses"),
        ("black-footed ferret", "black-footed\nferret"),
    ],
)
def test_names_on_two_lines(name, expected):
    assert in_two_lines(name) == expected


def test_every_figure_takes_a_title_of_the_users(data):
    """Above what it states of itself, letter by letter."""
    spiking, _, images, scores = data("cat")
    times = xr.Dataset({"latency": ("image", [0.1, 0.2])}, {"image": [0, 1]}, {"duration": 1.0})
    drawn = plotting.latency(times, times, title="a $b$")
    assert drawn.axes.get_title().startswith("a $b$\n2 images\n") and not drawn.axes.title.get_parse_math()
    drawn = plotting.agreement(scores, label="cat", title="a $b$")
    assert drawn.axes.get_title() == "a $b$\n2 images" and not drawn.axes.title.get_parse_math()
    boxes = np.tile([1, 1, 6, 6], (2, 1, 1))
    labels = np.array([["cat"], ["dog"]])
    found = ncam.localization_scores(spiking.assign_attrs(input_shape=[8, 8, 1]), boxes=boxes, box_labels=labels)
    drawn = plotting.localization(found, title="a $b$")
    assert drawn.axes.get_title() == "a $b$\n2 objects in 2 images" and not drawn.axes.title.get_parse_math()
    title = plotting.raster(spiking, images, label="cat", neurons=4, title="a $b$").figure._suptitle
    assert title.get_text() == "a $b$" and not title.get_parse_math()
