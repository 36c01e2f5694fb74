import io

import nengo
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from nengo_cam import cumulative, smooth
from nengo_cam.exceptions import ImageError, LabelError, ParameterError, ResultError
from nengo_cam.plotting import raster

N_CHANNELS = 6


@pytest.fixture
def counts(rng):
    """Spikes per step (image, time, channel, y, x): none, one or two, and few neurons with signed ones."""
    found = rng.choice([0, 0, 0, 1, 2], size=(3, 10, N_CHANNELS, 4, 4))
    # So that the smallest output is one spike in every channel.
    found[:, 0, :, 0, 0] = 1
    return found


@pytest.fixture
def spiking(spiking, counts, rng):
    heights = rng.uniform(0.5, 3, N_CHANNELS)[:, None, None]
    spiking["features"] = (("image", "time", "channel", "y", "x"), (counts * heights).astype(np.float32))
    return spiking.assign_attrs(synapse="None", head="conv3 (4x4x6) -> gap -> readout (4 labels)")


def strongest(spiking, image, label):
    mean = spiking.cam.sel(label=label)[image].mean("time").values
    return [np.unravel_index(cell, mean.shape) for cell in (mean.argmax(), mean.argmin())]


def test_the_most_active_neurons_of_two_cells(spiking, counts):
    drawn = raster(spiking, image=1, label="dog", neurons=5)
    for (y, x), part, n in zip(strongest(spiking, 1, "dog"), (drawn.neurons[:3], drawn.neurons[3:]), (3, 2)):
        totals = counts[1, :, :, y, x].sum(axis=0)
        assert [tuple(cell) for cell in part[:, 1:]] == [(y, x)] * n
        assert totals[part[:, 0]].tolist() == sorted(totals, reverse=True)[:n]


def test_ticks_are_the_spikes(spiking, counts):
    neurons = [[2, 0, 1], [5, 3, 3], [0, 0, 0]]
    drawn = raster(spiking, image=2, label="cat", neurons=neurons)
    np.testing.assert_array_equal(drawn.neurons, neurons)
    for artist, (k, y, x) in zip(drawn.spikes, neurons):
        expected = []
        for step, n in enumerate(counts[2, :, k, y, x]):
            expected += {0: [], 1: [step + 0.5], 2: [step + 0.25, step + 0.75]}[n]
        np.testing.assert_allclose(artist.get_positions(), expected, atol=1e-9)
    assert [artist.get_lineoffset() for artist in drawn.spikes] == [0, 1, 2]
    total = sum(counts[2, :, k, y, x].sum() for k, y, x in neurons)
    assert drawn.axes[0].get_title() == f"{total} spikes"


def test_the_map_is_the_mean_and_its_cells_are_framed(spiking, images):
    drawn = raster(spiking, images, label="emu")
    mean = spiking.cam.sel(label="emu")[0].mean("time").values
    np.testing.assert_allclose(drawn.map.get_array(), mean, rtol=1e-5)
    reach = np.abs(mean).max()
    assert drawn.map.get_clim() == pytest.approx((-reach, reach))
    assert drawn.image is not None
    places = [(frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) for frame in drawn.cells]
    # Cells of 2 x 2 pixels, the first from -0.5 on.
    assert places == [(2 * x - 0.5, 2 * y - 0.5, 2, 2) for y, x in strongest(spiking, 0, "emu")]


def test_neurons_have_the_color_of_the_sign_of_the_map(spiking):
    (y, x), (v, u) = strongest(spiking, 0, "cat")
    drawn = raster(spiking, label="cat", neurons=[[0, y, x], [0, v, u]])
    red, blue = (artist.get_colors()[0] for artist in drawn.spikes)
    assert red[0] > 0.5 > red[2] and blue[2] > 0.5 > blue[0]
    np.testing.assert_allclose([frame.get_edgecolor() for frame in drawn.cells], [red, blue])
    one_sided = raster(spiking, label="cat", neurons=[[0, y, x], [0, v, u]], scale=(0, 1))
    assert one_sided.spikes[0].get_colors()[0][0] > 0.5


def test_labels(spiking):
    drawn = raster(spiking, image=1)
    winner = str(spiking.logits[1].sum("time").idxmax().values)
    assert drawn.axes[1].get_title() == f"image 1\n{winner}"
    assert drawn.axes[0].get_xlabel() == "time [ms]"
    assert drawn.axes[0].get_ylabel() == "neurons of\nconv3"
    assert drawn.axes[0].get_xlim() == pytest.approx((0, 10))
    assert drawn.colorbar.ax.get_xlabel() == "mean CAM [logit]"


@pytest.mark.parametrize("several", [[2, 3], [2, 5], [4, 6, 9], [1, 7]])
def test_the_height_of_a_spike_is_the_divisor_of_all(spiking, several):
    """Some channels never spike just once in a step."""
    counts = np.random.default_rng(0).choice([0, *several], spiking.features.shape)
    counts[0, : len(several), 0, 0, 0] = several
    data = spiking.assign(features=(spiking.features.dims, (0.37 * counts).astype(np.float32)))
    drawn = raster(data, label="cat", neurons=[[0, 0, 0], [3, 1, 2]])
    found = [len(artist.get_positions()) for artist in drawn.spikes]
    assert found == [counts[0, :, 0, 0, 0].sum(), counts[0, :, 3, 1, 2].sum()]


def test_spikes_of_either_sign_are_spikes(spiking, counts):
    flipped = spiking.assign(features=spiking.features * np.where(np.arange(4) == 2, -1, 1))
    for data in (spiking, flipped):
        drawn = raster(data, label="cat", neurons=[[1, 1, 2]])
        assert len(drawn.spikes[0].get_positions()) == counts[0, :, 1, 1, 2].sum()


def test_ticks_of_spikes_taken_back_go_down(spiking, counts):
    unsigned = raster(spiking, label="cat", neurons=[[0, 2, 3], [1, 2, 3]])
    np.testing.assert_allclose([abs(start[1] - end[1]) for start, end in unsigned.spikes[0].get_segments()], 0.8)
    # From the second half of the run on, the neuron takes back.
    signs = np.where(np.arange(spiking.sizes["time"]) < spiking.sizes["time"] // 2, 1, -1)
    changed = spiking.assign(features=spiking.features * xr.DataArray(signs, dims="time"))
    drawn = raster(changed, label="cat", neurons=[[0, 2, 3], [1, 2, 3]])
    for row, (artist, k) in enumerate(zip(drawn.spikes, (0, 1))):
        expected = [sign for sign, n in zip(signs, counts[0, :, k, 2, 3]) for _ in range(n)]
        # Rows are counted from the top.
        ups = [np.sign(start[1] - end[1]) for start, end in artist.get_segments()]
        assert ups == expected
        assert all(start[1] == row for start, _ in artist.get_segments())
    assert drawn.figure.get_figheight() > unsigned.figure.get_figheight()


def test_later_steps_keep_their_times(spiking, counts):
    drawn = raster(spiking.isel(time=slice(4, 8)), label="cat", neurons=[[0, 0, 1]])
    assert drawn.axes[0].get_xlim() == pytest.approx((4, 8))
    assert len(drawn.spikes[0].get_positions()) == counts[0, 4:8, 0, 0, 1].sum()


def test_features_of_a_network(small_model, rng):
    """Counted from the features, spikes are as many as the simulator counts."""
    import nengo_cam as ncam

    images = rng.random((3, 8, 6, 2), dtype=np.float32)
    net = ncam.convert(small_model, calibrate_on=images)
    options = {"n_steps": 30, "seed": 0, "progress_bar": False}
    ran = ncam.spiking_cam(net, images[:1], keep_features=True, count_spikes=True, **options)
    shape = ran.features.shape[2:]
    every = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)
    drawn = raster(ran, neurons=every)
    n_spikes = sum(len(artist.get_positions()) for artist in drawn.spikes)
    assert n_spikes == int(ran.spike_count[0, :, -1].sum()) > 100
    with_synapse = ncam.convert(small_model, calibrate_on=images, synapse=0.005)
    filtered = ncam.spiking_cam(with_synapse, images[:1], keep_features=True, **options)
    with pytest.raises(ResultError, match="its features are filtered"):
        raster(filtered)
    rates = ncam.convert(small_model, neurons=nengo.RectifiedLinear())
    with pytest.raises(ResultError, match="its features are no spikes"):
        raster(ncam.spiking_cam(rates, images[:1], keep_features=True, **options))


def test_draws_on_a_given_figure_and_at_column_width(spiking, images):
    fig = Figure(figsize=(6, 2), dpi=100, layout="constrained")
    drawn = raster(spiking, images, label="cat", fig=fig)
    assert drawn.figure is fig
    assert Image.open(io.BytesIO(drawn._repr_png_())).size == (600, 200)
    long = spiking.assign_attrs(head="a_name_that_is_rather_long (4x4x6) -> gap").assign_coords(
        label=["indigo bunting, a bird", 1, 2, 3]
    )
    drawn = raster(long, images, label="indigo bunting, a bird")
    assert drawn.figure.get_figwidth() == 3.3
    assert drawn.axes[0].get_ylabel() == "neurons of\na_name_that_is_ra…"
    drawn.figure.canvas.draw()
    for ax in (*drawn.axes, drawn.colorbar.ax):
        box = ax.get_tightbbox()
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= drawn.figure.bbox.x1 and box.y1 <= drawn.figure.bbox.y1


def constant(spiking):
    return spiking.assign(features=spiking.features.isel(time=[0] * 10).assign_coords(time=spiking.time))


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (lambda s: 3, {}, ResultError, "'features', got int. Run spiking_cam"),
        (lambda s: s.drop_vars("features"), {}, ResultError, r"'features', got \['cam', 'logits'\]"),
        (lambda s: s.assign(features=s.features[0]), {}, ResultError, "'features' has the wrong dims"),
        (lambda s: s.assign_attrs(time_reduction="running mean"), {}, ResultError, "spikes are lost when time is"),
        (lambda s: s.assign_attrs(synapse="Lowpass(0.01)"), {}, ResultError, r"filtered; .* got 'Lowpass\(0.01\)'"),
        (lambda s: s.assign(features=s.features + 0.3), {}, ResultError, "its features are no spikes"),
        (constant, {}, ResultError, "its features are no spikes"),
        (lambda s: s.assign(cam=s.cam * 0), {}, ResultError, "the map has no strongest cell"),
        (lambda s: s.assign(features=s.features * 0), {}, ResultError, "cell are silent; expected spikes"),
        (lambda s: s.drop_vars("logits"), {"label": None}, ResultError, r"lacks the variables \['logits'\]"),
        (lambda s: s, {"image": 5}, ParameterError, "image: not a position in the Dataset"),
        (lambda s: s, {"image": 5, "label": None}, ParameterError, "image: not a position in the Dataset"),
        (lambda s: s, {"image": [0, 1]}, ParameterError, r"image: expected one position, got \[0, 1\]"),
        (lambda s: s, {"label": "cow"}, LabelError, "label 'cow': not in the Dataset"),
        (lambda s: s, {"neurons": 1}, ParameterError, "neurons: expected at least 2, got 1"),
        (lambda s: s, {"neurons": True}, ParameterError, "neurons: expected how many"),
        (lambda s: s, {"neurons": [[0, 1]]}, ParameterError, r"whole numbers of shape \(n, 3\)"),
        (lambda s: s, {"neurons": [[0, 1, 4]]}, ParameterError, r"neurons: \[0, 1, 4\] is not among them"),
        (lambda s: s, {"scale": "shared"}, ParameterError, "scale: not a known choice"),
        (lambda s: s, {"alpha": -1}, ParameterError, "alpha: not an opacity"),
        (lambda s: s, {"images": np.zeros((3, 5, 5))}, ImageError, "images: wrong number of pixels"),
    ],
)
def test_errors_come_before_drawing(spiking, change, arguments, error, message):
    fig = Figure()
    with pytest.raises(error, match=message):
        raster(change(spiking), fig=fig, **{"label": "cat", **arguments})
    assert not fig.axes


def levels_of(rng, n_steps):
    """Levels [quanta] of the SigmaDelta kind: signed changes of sizes up to a thousand, most of them none."""
    sizes = rng.choice([0, 0, 0, 1, -1, 3, 128, -64, 1000], size=(3, n_steps, N_CHANNELS, 4, 4))
    return np.cumsum(sizes, axis=1), sizes


@pytest.fixture
def held(spiking, rng):
    """A Dataset whose features are levels, and what was sent at each step [unit of the feature]."""
    quanta = rng.uniform(0.5, 3, N_CHANNELS)[:, None, None].astype(np.float32)
    levels, sizes = levels_of(rng, 10)
    features = (spiking.features.dims, levels.astype(np.float32) * quanta)
    return spiking.assign(features=features).assign_attrs(readout="level", spike_kind="graded"), sizes * quanta


NEURONS = [[2, 0, 1], [5, 3, 3], [0, 0, 0]]


def test_ticks_of_a_level_are_its_changes(held):
    data, sent = held
    for result in (data, cumulative(data)):
        drawn = raster(result, image=2, label="cat", neurons=NEURONS)
        largest = max(abs(sent[2, :, k, y, x]).max() for k, y, x in NEURONS)
        for row, (artist, (k, y, x)) in enumerate(zip(drawn.spikes, NEURONS)):
            expected = []
            for step, size in enumerate(sent[2, :, k, y, x]):
                if size:
                    length = 0.48 * max((abs(size) / largest) ** 0.5, 0.35)
                    # Rows count downwards, so that up is less.
                    expected.append([[step + 0.5, row], [step + 0.5, row - length if size > 0 else row + length]])
            np.testing.assert_allclose(artist.get_segments(), expected, atol=1e-5)
            assert len(expected) > 1
        n_spikes = sum(np.count_nonzero(sent[2, :, k, y, x]) for k, y, x in NEURONS)
        assert drawn.axes[0].get_title() == f"{n_spikes} spikes (graded)"


def test_the_map_beside_a_level_is_the_last(held):
    data, _ = held
    drawn = raster(data, image=1)
    # The answer is that of the last step, too.
    winner = str(data.logits[1, -1].idxmax().values)
    last = data.cam[1, -1].sel(label=winner)
    assert drawn.axes[1].get_title() == f"image 1\n{winner}"
    np.testing.assert_array_equal(drawn.map.get_array(), last)
    assert drawn.colorbar.ax.get_xlabel() == "CAM at 10 ms [logit]"


def test_the_neurons_of_a_level_that_spike_most_are_chosen(held):
    data, sent = held
    drawn = raster(data, label="dog", neurons=4)
    last = data.cam[0, -1].sel(label="dog").values
    expected = []
    for cell in (last.argmax(), last.argmin()):
        y, x = np.unravel_index(cell, last.shape)
        n_spikes = [np.count_nonzero(sent[0, :, k, y, x]) for k in range(N_CHANNELS)]
        expected += [[k, y, x] for k in sorted(range(N_CHANNELS), key=lambda k: -n_spikes[k])[:2]]
    np.testing.assert_array_equal(drawn.neurons, expected)


def test_later_steps_of_a_level_begin_with_what_is_known(held):
    data, sent = held
    drawn = raster(data.isel(time=slice(4, 8)), label="cat", neurons=NEURONS)
    for artist, (k, y, x) in zip(drawn.spikes, NEURONS):
        # The level before the first of them is not in the Dataset.
        found = [step + 0.5 for step in range(5, 8) if sent[0, step, k, y, x]]
        np.testing.assert_allclose(artist.get_positions(), found)


def test_a_level_that_stays_is_silent_and_no_error(held):
    data, _ = held
    still = data.assign(features=data.features.isel(time=[3] * 10).assign_coords(time=data.time))
    drawn = raster(still, label="cat", neurons=NEURONS)
    # What there is was sent in the first step.
    assert [len(artist.get_positions()) for artist in drawn.spikes] == [
        int(data.features[0, 3, k, y, x] != 0) for k, y, x in NEURONS
    ]
    silent = raster(still.assign(features=still.features * 0), label="cat", neurons=NEURONS)
    assert silent.axes[0].get_title() == "0 spikes (graded)"


@pytest.mark.parametrize("bits", [None, 1, 2])
def test_levels_of_a_network(small_model, rng, bits):
    """At each step as many ticks as the neurons send spikes."""
    import nengo_cam as ncam
    from nengo_cam.neurons import spike_code

    images = rng.random((3, 8, 6, 2), dtype=np.float32)
    net = ncam.convert(small_model, calibrate_on=images, neurons=ncam.SigmaDelta(bits=bits))
    ran = ncam.spiking_cam(net, images[:1], keep_features=True, n_steps=12, seed=0, progress_bar=False)
    shape = ran.features.shape[2:]
    every = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)
    drawn = raster(ran.assign_attrs(readout="level"), neurons=every)
    ensemble = list(net.spiking_layers.values())[-1]
    with net.probed_neurons() as probes, ncam.Simulator(net.net, seed=0, progress_bar=False) as sim:
        sim.run_steps(12, data={net.input: np.repeat(images[:1].reshape(1, -1), 12, axis=0)})
        output = sim.data[list(probes.values())[-1]]
    code = spike_code(ensemble.neuron_type, 0.001)
    expected = code.count_events(code.sizes(output)).sum(axis=1)
    steps = np.concatenate([artist.get_positions() for artist in drawn.spikes])
    np.testing.assert_array_equal(np.histogram(steps, np.arange(13))[0], expected)
    assert expected[0] > 10 and (bits is None) == (expected[1:].sum() == 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.isel(time=slice(None, None, 3)), "expected all steps of 0.001 s, got up to 0.003 s"),
        (lambda s: cumulative(s, burn_in=2), "its features are not all finite; expected levels at all steps"),
        (lambda s: smooth(s.drop_vars("logits"), 0.005), r"averaged or smoothed; .* got 'smoothed by Lowpass"),
        (lambda s: s.assign_attrs(spike_kind="none"), "its features are no spikes; .* got spike_kind 'none'"),
        (lambda s: s.assign_attrs(readout="sum"), "expected 'mean' or 'level' in its attrs, got 'sum'"),
    ],
)
def test_levels_that_tell_no_spikes(held, change, message):
    fig = Figure()
    with pytest.raises(ResultError, match=message):
        raster(change(held[0]), label="cat", fig=fig)
    assert not fig.axes


def test_the_kind_of_spike_stands_above_the_raster(spiking):
    drawn = raster(spiking.assign_attrs(readout="mean", spike_kind="signed unit"), label="cat", neurons=NEURONS)
    assert drawn.axes[0].get_title().endswith(" spikes (signed unit)")
