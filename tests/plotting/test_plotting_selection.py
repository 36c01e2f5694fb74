import numpy as np
import pytest

from nengo_cam import cumulative, plotting
from nengo_cam.exceptions import ImageError, LabelError, ParameterError, ResultError
from nengo_cam.plotting.selection import milliseconds, nearest_steps, select_scenes


def test_scene_is_cut_out_of_any_order_of_dims(spiking, rate, images):
    expected = spiking["cam"].isel(image=1).sel(label="dog").values
    shuffled = spiking.transpose("x", "label", "y", "image", "time"), rate.transpose("y", "x", "label", "image")
    (scene,) = select_scenes(*shuffled, images, 1, "dog")
    np.testing.assert_array_equal(scene.spiking, expected)
    np.testing.assert_array_equal(scene.rate, rate["cam"].isel(image=1).sel(label="dog").values)
    np.testing.assert_array_equal(scene.logits, spiking["logits"].isel(image=1).values)
    np.testing.assert_array_equal(scene.rate_logits, rate["logits"].isel(image=1).values)
    assert (scene.image, scene.label, scene.extent) == (1, "dog", (-0.5, 7.5, 7.5, -0.5))


def test_label_defaults_to_the_prediction_at_the_last_step_of_each_image(spiking):
    spiking["logits"][:] = 0
    spiking["logits"][:, 0, 0] = 9
    spiking["logits"][0, -1, 2] = 1
    spiking["logits"][1, -1, 3] = 1
    spiking["logits"][1, -1, 0] = np.nan
    assert [scene.label for scene in select_scenes(spiking, None, None, [0, 1], None)] == ["emu", "fox"]


def test_a_subset_finds_its_images_and_rate_maps(spiking, rate, images):
    part = spiking.isel(image=[2])
    (scene,) = select_scenes(part, rate, images, 0, "cat")
    low, high = images[2].min(), images[2].max()
    np.testing.assert_allclose(scene.picture(0), (images[2, ..., 0] - low) / (high - low))
    np.testing.assert_array_equal(scene.rate, rate["cam"].isel(image=2, label=0).values)
    assert scene.image == 2


def test_a_dataset_without_image_coordinate_counts(spiking, rate):
    (scene,) = select_scenes(spiking.drop_vars("image"), rate.drop_vars("image"), None, -1, "cat")
    assert scene.image == 2
    np.testing.assert_array_equal(scene.rate, rate["cam"].isel(image=2, label=0).values)


def test_moving_input_shows_the_frame_of_the_time(spiking):
    film = np.zeros((3, 10, 8, 8, 1))
    film[:, 4] = 1
    (scene,) = select_scenes(spiking.isel(time=[1, 4]), None, film, 0, "cat")
    assert scene.picture(0).max() == 0
    assert scene.picture(1).min() == 1


def test_unknown_label(spiking):
    with pytest.raises(
        LabelError, match=r"label 'gnu': not in the Dataset; expected one of \['cat', 'dog', 'emu', 'fox'\]"
    ):
        select_scenes(spiking, None, None, 0, "gnu")
    with pytest.raises(LabelError, match="label 0: not in the Dataset"):
        select_scenes(spiking, None, None, 0, 0)


@pytest.mark.parametrize("positions", [3, -4, [0, 3], []])
def test_position_out_of_range(spiking, positions):
    with pytest.raises(ParameterError, match="image: not a position in the Dataset; expected at least one of 0 to 2"):
        select_scenes(spiking, None, None, positions, None)


@pytest.mark.parametrize("positions", [0.5, "cat", None])
def test_position_of_another_type(spiking, positions):
    with pytest.raises(ParameterError, match="image: not a position; expected an int"):
        select_scenes(spiking, None, None, positions, None)


def test_images_of_another_size(spiking, images):
    with pytest.raises(ImageError, match="wrong number of pixels"):
        select_scenes(spiking, None, images[:, :4], 0, None)
    del spiking.attrs["input_shape"]
    with pytest.raises(ImageError, match="do not fit the map"):
        select_scenes(spiking, None, images[:, :4], 0, None)


def test_nearest_steps():
    times = np.array([0.001, 0.002, 0.003])
    assert nearest_steps(times, [0.003, 0.0012, 0.0034]) == [2, 0, 2]
    assert nearest_steps(times, 0.0019) == [1]


@pytest.mark.parametrize("wanted", [[0.0], [0.001, 5], [np.nan], []])
def test_times_out_of_range(wanted):
    with pytest.raises(ParameterError, match=r"times: .* from 0.001 to 0.003 s, .* Give times in seconds"):
        nearest_steps(np.array([0.001, 0.002, 0.003]), wanted)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.005, "5 ms"), (0.1 + 0.2, "300 ms"), (0.0005, "0.5 ms"), (12, "12000 ms")]
)
def test_milliseconds(seconds, text):
    assert milliseconds(seconds) == text


def test_names_may_be_objects(spiking, rate, images):
    # As some formats of files give them back.
    for maps in (spiking, rate):
        maps["label"] = maps["label"].astype(object)
        maps["image"] = maps["image"].astype(object)
    spiking["answer"] = ("image", np.array(["cat", "dog", "emu"], object))
    spiking["cnn_answer"] = ("image", np.array(["cat", "fox", "emu"], object))
    (scene,) = select_scenes(spiking, rate, images, 1, "dog")
    assert (scene.image, scene.label, scene.answers) == (1, "dog", ("dog", "fox"))


@pytest.mark.parametrize(
    ("attrs", "kind", "moment"),
    [
        ({}, "spiking", "3 ms"),
        ({"readout": "mean", "spike_kind": "unit"}, "spiking", "3 ms"),
        ({"readout": "mean", "time_reduction": "running mean"}, "spiking, running mean", "3 ms"),
        ({"readout": "level", "spike_kind": "graded"}, "spiking, held level", "at 3 ms"),
        ({"readout": "level", "time_reduction": "level at each step"}, "spiking, held level", "at 3 ms"),
        # What is smoothed is not of one step.
        ({"readout": "level", "time_reduction": "lowpass 5 ms"}, "spiking, lowpass 5 ms", "3 ms"),
        ({"readout": "level", "spike_kind": "none"}, "not spiking, held level", "at 3 ms"),
    ],
)
def test_maps_are_called_what_they_are(spiking, attrs, kind, moment):
    (scene,) = select_scenes(spiking.assign_attrs(attrs), None, None, 0, "cat")
    assert (scene.kind, scene.moment(2)) == (kind, moment)


def test_titles_say_that_a_level_is_of_its_step(spiking, rate, images):
    held = cumulative(spiking.assign_attrs(readout="level"))
    drawn = plotting.timeline(held, rate, images, label="cat", times=[0.002, 0.01])
    assert [ax.get_title() for ax in drawn.axes] == ["input", "at 2 ms", "at 10 ms", "rate"]
    assert drawn.figure.get_suptitle() == "image 0, label cat (spiking, held level)"
    # The level of that step, not the mean up to it.
    np.testing.assert_array_equal(drawn.maps[0].get_array(), spiking.cam[0, 1].sel(label="cat"))
    drawn = plotting.comparison(held, rate, images, label="cat", times=[0.003])
    assert [ax.get_title() for ax in drawn.axes[0]] == ["input", "rate", "at 3 ms", "last − rate"]
    film = plotting.animate(held, rate, images, label="cat", progress_bar=False)
    film.draw(4)
    assert film.panels[0].map_axes[0].get_title() == "spiking, held level\nlabel cat, at 5 ms"
    np.testing.assert_array_equal(film.panels[0].maps[0].get_array(), spiking.cam[0, 4].sel(label="cat"))


def test_a_readout_that_is_not_known_is_not_drawn(spiking):
    with pytest.raises(ResultError, match="expected 'mean' or 'level' in its attrs, got 'sum'"):
        select_scenes(spiking.assign_attrs(readout="sum"), None, None, 0, "cat")
