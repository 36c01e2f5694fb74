import numpy as np
import pytest
from matplotlib.figure import Figure

from nengo_cam.exceptions import ParameterError
from nengo_cam.plotting.drawing import Look
from nengo_cam.plotting.film.layout import lay_out
from nengo_cam.plotting.score_curve import check_scores, score_curve
from nengo_cam.plotting.selection import select_scenes


def laid_out(scenes, curves=None, **options):
    return lay_out(scenes, curves, **{"steps": range(10), "scale": "shared", "look": Look("RdBu_r", 0.6), **options})


@pytest.mark.parametrize(
    ("scale", "with_rate", "bars"), [("shared", 1, 1), ("image", 1, 2), ("frame", 1, 4), ("frame", 0, 2)]
)
def test_color_bars(spiking, rate, scale, with_rate, bars):
    scenes = select_scenes(spiking, rate if with_rate else None, None, [0, 1], "dog")
    _, panels, found = laid_out(scenes, scale=scale)
    assert len(found) == bars
    if scale == "frame":
        assert [bar.norm for bar in found] == [artist.norm for panel in panels for artist in panel.maps]
    assert {(bar.ax.get_xlabel() or bar.ax.get_ylabel()) for bar in found} == {"CAM [logit]"}


def test_pointed_ends_where_a_step_shown_lies_beyond(spiking, rate):
    reach = np.abs(rate["cam"].values[0, 1]).max()
    spiking["cam"][:] = 0
    spiking["cam"][0, 3, 1] = 2 * reach
    scenes = select_scenes(spiking, rate, None, 0, "dog")
    assert laid_out(scenes)[2][0].extend == "max"
    assert laid_out(scenes, steps=[0, 9])[2][0].extend == "neither"


def test_rows_and_columns(spiking, rate, scores):
    scenes = select_scenes(spiking, rate, None, [0, 2], "dog")
    curves = [score_curve(check_scores(scores), scene) for scene in scenes]
    figure, panels, _ = laid_out(scenes, curves)
    for panel in panels:
        maps, logits, score = (axes.get_position() for axes in (panel.map_axes[0], panel.logit_axes, panel.score_axes))
        assert maps.y0 > logits.y1 and logits.y0 > score.y1
        assert score.x0 == logits.x0 and score.x1 == logits.x1
    assert panels[0].logit_axes.get_position().x1 < panels[1].logit_axes.get_position().x0
    lower = laid_out(scenes)[0]
    assert lower.get_figwidth() == figure.get_figwidth() and lower.get_figheight() < figure.get_figheight()


def test_begins_at_the_last_step(spiking):
    scenes = select_scenes(spiking, None, None, 1, "cat")
    _, (panel,), _ = laid_out(scenes, steps=[2, 5, 8])
    np.testing.assert_array_equal(panel.maps[0].get_array(), spiking["cam"].values[1, 8, 0])


def test_unknown_colors_leave_a_given_figure_empty(spiking):
    fig = Figure()
    with pytest.raises(ParameterError, match="cmap: unknown to matplotlib; .* got 'nope'"):
        laid_out(select_scenes(spiking, None, None, 1, "cat"), look=Look("nope"), fig=fig)
    assert not fig.axes
