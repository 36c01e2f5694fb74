"""Frames of events against a loop over frames and events, and events of films against what the film did."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nengo_cam as ncam
from nengo_cam.datasets import event_frames, record_events
from nengo_cam.datasets.event_camera import EVENT
from nengo_cam.exceptions import ImageError, ParameterError, ResultSizeError

SIZE = (4, 5)


def recording(rng, n=60, last=9_500):
    events = np.zeros(n, EVENT)
    events["x"], events["y"] = rng.integers(0, SIZE[1], n), rng.integers(0, SIZE[0], n)
    events["t"], events["p"] = np.sort(rng.integers(0, last, n)) + 1_000_000, rng.integers(0, 2, n)
    return events


def by_a_loop(events, window, step):
    """Count event by event, in whole microseconds."""
    start = int(events["t"].min())
    n_frames = (int(events["t"].max()) - start) // step + 1
    frames = np.zeros((n_frames, *SIZE, 2))
    for i in range(n_frames):
        end = start + (i + 1) * step
        for event in events:
            if end - window <= event["t"] < end:
                frames[i, event["y"], event["x"], int(event["p"])] += 1
    return frames


@pytest.mark.parametrize(("window", "step"), [(1000, 1000), (3000, 1000), (2500, 1000), (400, 1000), (20_000, 700)])
def test_frames_are_those_of_a_loop(window, step):
    events = recording(np.random.default_rng(window))
    frames = event_frames(events, SIZE, window / 1e6, step / 1e6)
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames, by_a_loop(events, window, step))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 2**32 - 1))
def test_whatever_the_window_and_the_step(window, step, seed):
    events = recording(np.random.default_rng(seed), n=12, last=20 * step)
    np.testing.assert_array_equal(event_frames(events, SIZE, window / 1e6, step / 1e6), by_a_loop(events, window, step))


def test_all_forms_of_a_recording_give_the_same():
    events = recording(np.random.default_rng(1))
    frames = event_frames(events, SIZE, 0.001)
    columns = np.stack([events[name].astype(np.int64) for name in "xytp"], axis=1)
    tonic = np.array([tuple(row) for row in columns[:, [2, 0, 1, 3]].tolist()], dtype=[(n, np.int64) for n in "txyp"])
    unsigned = columns.astype(np.uint64)
    signed = columns.copy()
    signed[:, 3] = 2 * signed[:, 3] - 1
    shuffled = events[np.random.default_rng(2).permutation(len(events))]
    for form in (columns, columns.tolist(), tonic, unsigned, signed, shuffled):
        np.testing.assert_array_equal(event_frames(form, SIZE, 0.001), frames)
    in_seconds = columns.astype(float)
    in_seconds[:, 2] = (in_seconds[:, 2] + 0.5) / 1e6  # away from the edges of windows
    np.testing.assert_array_equal(event_frames(in_seconds, SIZE, 0.001).sum(), frames.sum())
    ticks = events.copy()
    ticks["t"] *= 10
    np.testing.assert_array_equal(event_frames(ticks, SIZE, 0.001, time_unit=1e-7), frames)


@pytest.mark.parametrize("k", [1, 3])
def test_seconds_that_are_rounded_lose_no_event(k):
    # 0.5 / 0.1 is 5.0, but (0.5 + 0.1) / 0.1 is 5.999...: such an event once stood in no frame at all.
    events = [[0, 0, 0.1 * i, 1] for i in range(400)]
    frames = event_frames(events, (1, 1), 0.1 * k, 0.1, n_steps=410)
    assert frames.sum() == k * len(events)


def test_times_of_few_bits_may_lie_far_apart():
    events = np.array([[0, 0, -2_000_000_000, 1], [0, 0, 2_000_000_000, 1]], np.int32)
    frames = event_frames(events, (1, 1), 1.0)
    assert np.flatnonzero(frames[:, 0, 0, 1]).tolist() == [0, 4000]


def test_a_row_of_pixels_has_no_y():
    events = np.zeros(3, [("x", int), ("t", int), ("p", int)])
    events["x"], events["t"], events["p"] = [0, 2, 2], [0, 100, 1200], [1, 0, 1]
    frames = event_frames(events, 3, 0.001)
    assert frames.shape == (2, 3, 2)
    assert np.argwhere(frames).tolist() == [[0, 0, 1], [0, 2, 0], [1, 2, 1]]
    columns = np.stack([events[name] for name in "xtp"], axis=1)
    np.testing.assert_array_equal(event_frames(columns, (3,), 0.001), frames)


def test_as_many_frames_as_asked_for():
    events = recording(np.random.default_rng(3))
    whole = event_frames(events, SIZE, 0.002, 0.001)
    np.testing.assert_array_equal(event_frames(events, SIZE, 0.002, 0.001, n_steps=4), whole[:4])
    longer = event_frames(events, SIZE, 0.002, 0.001, n_steps=len(whole) + 5)
    np.testing.assert_array_equal(longer[: len(whole)], whole)
    # The last window ends a step later; then nothing happens.
    assert longer[len(whole) + 1 :].sum() == 0


def field(name, value):
    def change(events):
        columns = np.stack([events[n].astype(float) for n in "xytp"], axis=1)
        columns[3, "xytp".index(name)] = value
        return columns

    return change


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda events: events[:0], {}, ImageError, "events: none; expected at least one"),
        (lambda events: events["t"], {}, ImageError, "numbers of shape .N, 4. in columns"),
        (lambda events: events[["x", "y", "t"]], {}, ImageError, "expected the fields .'y', 'x', 't', 'p'."),
        (lambda events: events, {"size": 5}, ImageError, "size as the sensor is"),
        (lambda events: events, {"size": (5, 4)}, ImageError, "'x' lies outside of the sensor; expected from 0 to 3"),
        (field("y", -1), {}, ImageError, "'y' lies outside of the sensor"),
        (field("x", 0.5), {}, ImageError, "'x' holds what is no pixel"),
        (field("t", np.nan), {}, ImageError, "'t' holds what is no finite number"),
        (field("p", 7), {}, ImageError, "Are the columns x, y, t, p"),
        (lambda events: events, {"size": (0, 5)}, ParameterError, "size: expected rows and columns"),
        (lambda events: events, {"window": 0}, ParameterError, "window"),
        (lambda events: events, {"step": -1}, ParameterError, "step"),
        (lambda events: events, {"n_steps": 0}, ParameterError, "n_steps"),
        (lambda events: events, {"time_unit": 0}, ParameterError, "time_unit"),
        (lambda events: events, {"time_unit": 1e3, "step": 1e-6}, ResultSizeError, "Say what a unit of t is"),
    ],
)
def test_what_is_wrong_is_named(change, options, error, message):
    events = change(recording(np.random.default_rng(4)))
    with pytest.raises(error, match=message):
        event_frames(events, **{"size": SIZE, "window": 0.001, **options})


def test_a_camera_sees_every_change_once():
    rng = np.random.default_rng(5)
    film = np.cumsum(rng.normal(scale=0.2, size=(30, *SIZE)), axis=0)
    threshold = 0.07
    events = record_events(film, threshold=threshold, dt=0.002)
    assert (np.diff(events["t"]) >= 0).all()
    assert events["t"].min() >= 0 and events["t"].max() <= 29 * 2000
    # What all events of a pixel say up to a frame is its brightness there, to less than a threshold.
    for step in range(1, 30):
        level = film[0].copy()
        seen = events[events["t"] <= step * 2000]
        np.add.at(level, (seen["y"], seen["x"]), np.where(seen["p"], threshold, -threshold))
        assert np.abs(level - film[step]).max() < threshold * 1.001


def test_times_of_events_are_those_of_crossings():
    film = np.zeros((4, 1, 2))
    film[1:, 0, 0], film[2:, 0, 1] = 0.3, -0.1
    events = record_events(film, threshold=0.1)
    assert events.tolist() == [(0, 0, 333, True), (0, 0, 667, True), (0, 0, 1000, True), (1, 0, 2000, False)]
    assert record_events(np.ones((3, 2, 2))).shape == (0,)
    assert record_events(film[:, 0])["y"].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("frames", "options", "error", "message"),
    [
        (np.zeros((1, 2, 2)), {}, ImageError, "at least two frames"),
        (np.zeros((3, 2, 2, 1)), {}, ImageError, "Leave out the axes"),
        (np.full((3, 2, 2), np.nan), {}, ImageError, "NaN or infinity"),
        (np.zeros((3, 2, 2)), {"threshold": 0}, ParameterError, "threshold"),
        (np.zeros((3, 2, 2)), {"dt": 0}, ParameterError, "dt"),
        (np.zeros((3, 2, 2)), {"events_per_second": 0}, ParameterError, "events_per_second"),
    ],
)
def test_wrong_films(frames, options, error, message):
    with pytest.raises(error, match=message):
        record_events(frames, **options)


def test_a_network_takes_a_recording(make_model):
    """A digit that moves, seen by a camera: frames of its events are a moving image of two channels."""
    _, (images, _) = ncam.datasets.digits()
    scene = np.zeros((21, 32, 32))
    for step in range(21):
        shift = step // 6
        scene[step, 2:30, 1 + shift : 29 + shift] = images[0, ..., 0]
    frames = event_frames(record_events(scene), (32, 32), 0.005, 0.001, n_steps=20)
    assert frames[..., 0].sum() > 50 and frames[..., 1].sum() > 50
    net = ncam.convert(make_model(shape=(32, 32, 2)), calibrate_on=frames[None])
    assert "the images move" in net.choice
    maps = ncam.spiking_cam(net, frames[None], n_steps=20, progress_bar=False)
    rate = ncam.rate_cam(net, frames[None])
    np.testing.assert_allclose(maps.logits, rate.logits, atol=0.05 * float(np.abs(rate.logits).max()))
