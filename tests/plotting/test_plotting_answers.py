import numpy as np
import pytest
import xarray as xr

from nengo_cam import plotting
from nengo_cam.plotting.answers import answers_of


def said(ax):
    return ax.xaxis.label.get_text()


def answered(spiking, answers, cnn):
    return spiking.assign(answer=("image", answers), cnn_answer=("image", cnn))


@pytest.fixture
def names(spiking):
    """Names of the labels, one of them with letters that mathematics would take."""
    return ["cat", r"a $_\frac dog", *(f"label {i}" for i in range(2, spiking.sizes["label"]))]


def test_both_answers_are_said_below_their_own_map(spiking, rate, images, names):
    n = spiking.sizes["image"]
    spiking = answered(spiking, [names[1]] * n, [names[0]] * n)
    film = plotting.animate(spiking, rate, images, image=[0, 1], progress_bar=False)
    for panel in film.panels:
        assert [said(ax) for ax in panel.map_axes] == [rf"network: {names[1]}", "CNN: cat"]
        assert not panel.map_axes[0].xaxis.label.get_parse_math()
    film.figure.draw_without_rendering()
    alone = plotting.animate(spiking, None, images, progress_bar=False)
    assert said(alone.panels[0].map_axes[0]) == f"network: {names[1]}\nCNN: cat"
    drawn = plotting.timeline(spiking, rate, images)
    assert [said(ax) for ax in drawn.axes[-2:]] == [f"network: {names[1]}", "CNN: cat"]
    assert said(plotting.timeline(spiking, None, images).axes[-1]) == f"network: {names[1]}\nCNN: cat"
    compared = plotting.comparison(spiking, rate, images, image=[0, 1])
    for row in compared.axes:
        assert said(row[1]) == "answer: cat"
        assert said(row[-2]).startswith("answer: a $")


def test_nothing_is_said_of_networks_that_agree(spiking, rate, images, names):
    n = spiking.sizes["image"]
    # All but the image that is drawn.
    spiking = answered(spiking, [names[0]] + [names[1]] * (n - 1), [names[0]] * n)
    film = plotting.animate(spiking, rate, images, progress_bar=False)
    drawn = plotting.timeline(spiking, rate, images)
    compared = plotting.comparison(spiking, rate, images)
    axes = [*film.panels[0].map_axes, *drawn.axes, *compared.axes[0]]
    assert {said(ax) for ax in axes} == {""}
    assert said(plotting.animate(spiking, rate, images, image=1, progress_bar=False).panels[0].map_axes[1])


def test_figures_grow_for_what_they_say(spiking, rate, images):
    n = spiking.sizes["image"]
    same, other = (answered(spiking, [answer] * n, [0] * n) for answer in (0, 1))
    for draw in (plotting.timeline, plotting.comparison):
        plain, said_so = (draw(dataset, rate, images).figure.get_figheight() for dataset in (same, other))
        assert said_so > plain


def test_answers_follow_from_logits_of_all_labels(spiking, rate):
    unsaid = spiking.drop_vars(["answer", "cnn_answer"], errors="ignore")
    n_steps = unsaid.sizes["time"]
    for position, name in enumerate(unsaid.image.values.tolist()):
        logits = unsaid.logits.isel(image=position).transpose("time", "label").values
        cnn = int(rate.logits.sel(image=name).argmax())
        for reduction, settled in (("", logits[n_steps // 2 :].mean(axis=0)), ("running mean", logits[-1])):
            own = int(settled.argmax())
            labels = unsaid.label.values.tolist()
            expected = None if own == cnn else (labels[own], labels[cnn])
            assert answers_of(unsaid.assign_attrs(time_reduction=reduction), rate, position, name) == expected


def test_answers_are_not_guessed_from_some_of_the_labels(spiking, rate):
    unsaid = spiking.drop_vars(["answer", "cnn_answer"], errors="ignore")
    n_labels = unsaid.sizes["label"]
    flipped = rate.assign(logits=-rate.logits)
    found = [answers_of(unsaid, flipped, i, name) for i, name in enumerate(unsaid.image.values.tolist())]
    assert any(found)
    partial = unsaid.assign_attrs(n_labels=n_labels + 1)
    assert answers_of(partial, flipped, 0, unsaid.image.values[0]) is None
    assert answers_of(unsaid, None, 0, unsaid.image.values[0]) is None
    undefined = unsaid.assign(logits=unsaid.logits * np.nan)
    assert answers_of(undefined, flipped, 0, unsaid.image.values[0]) is None


def test_a_level_answers_at_the_last_step(spiking, rate):
    unsaid = spiking.assign_attrs(readout="level")
    # The first steps say another label, loudly.
    unsaid["logits"][:, :-1] = [9.0, 0, 0, 0]
    unsaid["logits"][:, -1] = [0, 0, 1.0, 0]
    expected = rate.assign(logits=rate.logits * 0 + xr.DataArray([0.0, 1, 0, 0], dims="label"))
    assert answers_of(unsaid, expected, 0, 0) == ("emu", "dog")
    assert answers_of(unsaid.assign_attrs(readout="mean"), expected, 0, 0) == ("cat", "dog")
