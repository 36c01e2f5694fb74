import numpy as np
import pytest
import xarray as xr

N_IMAGES, N_STEPS, N_LABELS, ROWS, COLUMNS, PIXELS = 3, 12, 3, 4, 5, (8, 10)


def build(rng, with_time):
    """Maps of random signed values on a 4 x 5 grid over 8 x 10 pixels, whose means plus bias are the logits."""
    dims = ("image", "time", "label", "y", "x") if with_time else ("image", "label", "y", "x")
    sizes = {"image": N_IMAGES, "time": N_STEPS, "label": N_LABELS, "y": ROWS, "x": COLUMNS}
    cam = rng.normal(size=[sizes[dim] for dim in dims]).astype(np.float32)
    bias = np.array([0.1, -0.2, 0.3], np.float32)
    coords = {
        "image": [10, 11, 12],
        "label": ["cat", "dog", "emu"],
        "y": 2.0 * np.arange(ROWS) + 0.5,
        "x": 2.0 * np.arange(COLUMNS) + 0.5,
    }
    if with_time:
        coords["time"] = 0.001 * (np.arange(N_STEPS) + 1)
    return xr.Dataset(
        {"cam": (dims, cam), "logits": (dims[:-2], cam.mean(axis=(-2, -1)) + bias), "bias": ("label", bias)},
        coords,
        {"input_shape": [*PIXELS, 1], "dt": 0.001, "model": "zoo"},
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def spiking(rng):
    return build(rng, with_time=True)


@pytest.fixture
def rate(rng):
    return build(rng, with_time=False)


@pytest.fixture
def moving_rate(rng):
    """Maps of the CNN at each step, as `rate_cam` gives them for moving images."""
    return build(rng, with_time=True).assign_attrs(simulator="none, the Keras model")


@pytest.fixture
def images(rng):
    return rng.uniform(50, 200, size=(N_IMAGES, *PIXELS, 1))


@pytest.fixture
def scores(rng):
    """Two metrics as `nengo_cam.compare` gives them, undefined in the first step."""
    values = rng.uniform(-0.2, 1, size=(N_IMAGES, N_STEPS, N_LABELS))
    values[:, 0] = np.nan
    dims = ("image", "time", "label")
    return xr.Dataset(
        {
            "pearson": (dims, values, {"units": "1", "range": [-1.0, 1.0], "better": "higher"}),
            "rmse": (dims, 3 - values, {"units": "logit", "range": [0.0, np.inf], "better": "lower"}),
        },
        {"image": [10, 11, 12], "label": ["cat", "dog", "emu"], "time": 0.001 * (np.arange(N_STEPS) + 1)},
    )
