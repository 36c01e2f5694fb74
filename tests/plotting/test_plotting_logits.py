"""Several labels side by side, and a thousand of them."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

from nengo_cam import plotting
from nengo_cam.exceptions import LabelError, ResultError
from nengo_cam.plotting.answers import answers_by_step, answers_of
from nengo_cam.plotting.selection import labels_shown, select_scenes


def film(*arguments, **options):
    return plotting.animate(*arguments, progress_bar=False, **options)


def test_labels_of_a_film_stand_above_their_rate_maps(spiking, rate, images):
    drawn = film(spiking, rate, images, image=[2, 0], label=["fox", "cat"])
    reach = float(np.abs(rate.cam.sel(label=["fox", "cat"])[[0, 2]]).max())
    for panel, i in zip(drawn.panels, (2, 0)):
        drawn.draw(4)
        for place, label in enumerate(("fox", "cat")):
            ours, theirs = panel.map_axes[2 * place : 2 * place + 2]
            np.testing.assert_array_equal(panel.maps[2 * place].get_array(), spiking.cam[i, 4].sel(label=label))
            np.testing.assert_array_equal(panel.maps[2 * place + 1].get_array(), rate.cam[i].sel(label=label))
            assert ours.get_title() == f"spiking\nlabel {label}\n5 ms" and theirs.get_title() == f"rate\nlabel {label}"
            assert ours.get_position().y0 > theirs.get_position().y1
            assert ours.get_position().x0 == pytest.approx(theirs.get_position().x0, abs=0.01)
            line, reference = panel.logits.shown[place], panel.logits.references[place]
            np.testing.assert_array_equal(line.get_ydata(), spiking.logits[i, :5].sel(label=label))
            np.testing.assert_array_equal(reference.get_ydata(), [rate.logits[i].sel(label=label)] * 2)
            assert line.get_color() == reference.get_color()
        assert {artist.get_clim() for artist in panel.maps} == {(-reach, reach)}
        assert panel.map_axes[0].get_position().x1 < panel.map_axes[2].get_position().x0
        # One input for all labels, and the strongest of the others.
        assert panel.input.axes.get_title() == "input"
        others = spiking.logits[i, -1].sel(label=["dog", "emu"])
        assert panel.runner_up.get_label() == f"label {others.idxmax().item()} (strongest other)"
    assert len(drawn.panels) == 2
    assert len({line.get_color() for line in drawn.panels[0].logits.shown}) == 2


def test_colors_of_labels_are_not_those_of_signs():
    from nengo_cam.plotting.film.logits import SHOWN

    assert len(set(SHOWN)) == 6
    for color in SHOWN[:2]:
        red, green, blue = to_rgb(color)
        assert not (red > 2 * max(green, blue) or blue > 2 * max(red, green))


def test_scores_of_several_labels(spiking, rate, scores):
    (panel,) = film(spiking, rate, scores=scores, image=1, label=["dog", "fox"]).panels
    panel.draw(6)
    for line, label, shown in zip(panel.scores, ("dog", "fox"), panel.logits.shown):
        np.testing.assert_array_equal(line.get_ydata(), scores.pearson.sel(label=label)[1, :7])
        assert line.get_color() == shown.get_color()


def test_labels_of_a_timeline_have_rows(spiking, rate, images):
    drawn = plotting.timeline(spiking, rate, images, image=1, label="top2", times=[0.002, 0.01])
    order = np.argsort(-spiking.logits.values[1, -1])[:2]
    assert len(drawn.maps) == 6 and len(drawn.axes) == 7
    for row, label in enumerate(order):
        for artist, expected in zip(
            drawn.maps[3 * row : 3 * row + 3], [*spiking.cam.values[1, [1, 9], label], rate.cam.values[1, label]]
        ):
            np.testing.assert_array_equal(artist.get_array(), expected)
        assert drawn.axes[1 + 3 * row].get_ylabel() == spiking.label.values[label]
    assert drawn.figure.get_suptitle() == "image 1 (spiking)"
    assert [ax.get_title() for ax in drawn.axes] == ["input", "2 ms", "10 ms", "rate", "", "", ""]


def test_labels_of_a_comparison_have_rows(spiking, rate, images):
    drawn = plotting.comparison(spiking, rate, images, image=1, label=["fox", "cat", "emu"])
    for row, label in zip(drawn.maps, ("fox", "cat", "emu")):
        np.testing.assert_array_equal(row[0].get_array(), rate.cam[1].sel(label=label))
    both = plotting.comparison(spiking, rate, image=[0, 2], label="top2")
    expected = [spiking.label.values[k] for i in (0, 2) for k in np.argsort(-spiking.logits.values[i, -1])[:2]]
    assert [row[0].get_ylabel().split("\n")[1] for row in both.axes] == expected
    with pytest.raises(ResultError, match=r"lacks the variables \['logits'\]"):
        plotting.comparison(spiking.drop_vars("logits"), rate.drop_vars("logits"), label="top2")


def test_the_largest_logits_are_chosen(spiking):
    spiking["logits"][1, -1] = [3.0, np.nan, 7, 5]
    assert labels_shown(spiking, 1, "top3") == [2, 3, 0]
    assert labels_shown(spiking, 1, "top4") == [2, 3, 0, 1]
    assert labels_shown(spiking, 1, None) == [2]
    assert labels_shown(spiking, 1, ("dog", "cat")) == [1, 0]
    # Whatever a label is called, it comes before what it could mean.
    named = spiking.assign_coords(label=["top2", "a", "b", "c"])
    assert labels_shown(named, 1, "top2") == [0]
    numbers = spiking.assign_coords(label=[2, 6, 7, 8])
    assert labels_shown(numbers, 1, np.array([6, 2])) == [1, 0]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("top5", "label 'top5': more than there are; expected at most 'top4', got 'top5'"),
        ("top0", "label 'top0': not in the Dataset"),
        (["cat", "gnu"], "label 'gnu': not in the Dataset; expected one of"),
        (["cat", "cat"], r"label: expected one label or several different ones, got \['cat', 'cat'\]"),
        ([], r"label: expected one label or several different ones, got \[\]"),
    ],
)
def test_labels_that_are_not_there(spiking, label, message):
    for draw in (plotting.timeline, plotting.animate):
        with pytest.raises(LabelError, match=message):
            draw(spiking, label=label)


@pytest.fixture
def many(rng):
    """Maps of three labels, and the logits of a thousand."""
    cam = rng.normal(size=(2, 10, 3, 4, 4))
    logits = rng.normal(size=(2, 10, 1000))
    logits[..., [7, 500, 900]] = cam.mean((3, 4))
    centers = 2.0 * np.arange(4) + 0.5
    names = [f"kind {i}" for i in range(1000)]
    return xr.Dataset(
        {
            "cam": (("image", "time", "label", "y", "x"), cam),
            "logits": (("image", "time", "label"), logits[..., [7, 500, 900]]),
            "all_logits": (("image", "time", "all_label"), logits),
        },
        {
            "image": [0, 1],
            "time": 0.001 * np.arange(1, 11),
            "label": [names[i] for i in (7, 500, 900)],
            "all_label": names,
            "y": centers,
            "x": centers,
        },
        {"n_labels": 1000, "dt": 0.001, "readout": "level"},
    )


def test_of_a_thousand_labels_the_strongest_are_named(many):
    (panel,) = film(many, image=1, label="kind 500").panels
    panel.draw(5)
    logits = many.all_logits.values[1]
    order = [i for i in np.argsort(-logits[-1]) if i != 500]
    assert panel.runner_up.get_label() == f"label kind {order[0]} (strongest other)"
    np.testing.assert_array_equal(panel.runner_up.get_ydata(), logits[:6, order[0]])
    for line, index in zip(panel.logits.next_best, order[1:4]):
        assert line.get_label() == f"label kind {index}"
        np.testing.assert_array_equal(line.get_ydata(), logits[:6, index])
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in panel.logits.next_best}) == 3
    assert panel.others is None
    (path,) = panel.logits.band.get_paths()
    rest = logits[:6, order[4:]]
    corners = {(round(x, 6), round(y, 9)) for x, y in path.vertices}
    assert corners == {(t + 1, round(v, 9)) for t in range(6) for v in (rest[t].min(), rest[t].max())}
    texts = [text.get_text() for text in panel.logit_axes.get_legend().get_texts()]
    assert len(texts) == 6 and texts[-1] == "995 other labels"
    low, high = panel.logit_axes.get_ylim()
    assert low < logits.min() and logits.max() < high


def test_steps_without_logits_leave_the_band_out(many):
    many["all_logits"][:, :3] = np.nan
    (panel,) = film(many, label="kind 7").panels
    panel.draw(1)
    panel.draw(4)
    (path,) = panel.logits.band.get_paths()
    assert {round(x) for x, _ in path.vertices} == {4, 5}


def test_few_labels_are_all_drawn(spiking):
    (panel,) = film(spiking).panels
    assert panel.logits.band is None and panel.logits.next_best == []


def test_answers_come_from_all_logits(many):
    """The network answers a label that there is no map of."""
    rate = many.isel(time=-1, drop=True)
    ours = many.assign(all_logits=many.all_logits.copy(deep=True))
    ours["all_logits"][1, -1, 33] = 50
    rate = rate.assign(all_logits=rate.all_logits.copy(deep=True))
    rate["all_logits"][1, 44] = 50
    assert answers_of(ours, rate, 1, 1) == ("kind 33", "kind 44")
    # Three labels of a thousand say nothing.
    few = [data.drop_vars(["all_logits", "all_label"]) for data in (ours, rate)]
    assert answers_of(*few, 1, 1) is None
    assert answers_of(ours, few[1], 1, 1) is None
    moving = many.assign_attrs(simulator="none, the Keras model").assign(all_logits=many.all_logits.copy(deep=True))
    moving["all_logits"][1, 4, 44] = 50
    ours["all_logits"][1, 4, 33] = 50
    by_step = answers_by_step(ours, moving, 1, 1)
    assert by_step[4] == ("kind 33", "kind 44") and len(by_step) == 10
    (scene,) = select_scenes(ours, rate, None, 1, None)
    assert scene.answers == ("kind 33", "kind 44")
    # Maps are shown of the strongest label that has some.
    assert scene.label == many.label.values[int(many.logits.values[1, -1].argmax())]
    assert len(scene.logit_labels) == 1000 and len(scene.labels) == 3
