import numpy as np
import pytest
import xarray as xr

N_IMAGES, N_STEPS, N_LABELS, CELLS, PIXELS = 3, 10, 4, 4, 8


def build(rng, with_time):
    """Maps of random signed values on a 4 x 4 grid over 8 x 8 pixels, whose means are the logits."""
    dims = ("image", "time", "label", "y", "x") if with_time else ("image", "label", "y", "x")
    sizes = {"image": N_IMAGES, "time": N_STEPS, "label": N_LABELS, "y": CELLS, "x": CELLS}
    cam = rng.normal(size=[sizes[dim] for dim in dims]).astype(np.float32)
    centers = 2.0 * np.arange(CELLS) + 0.5
    coords = {"image": np.arange(N_IMAGES), "label": ["cat", "dog", "emu", "fox"], "y": centers, "x": centers}
    if with_time:
        coords["time"] = 0.001 * (np.arange(N_STEPS) + 1)
    return xr.Dataset(
        {"cam": (dims, cam), "logits": (dims[:-2], cam.mean(axis=(-2, -1)))},
        coords=coords,
        attrs={"input_shape": [PIXELS, PIXELS, 1], "dt": 0.001},
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
def scores(rng):
    """Two metrics as `nengo_cam.compare` gives them, undefined in the first step."""
    values = rng.uniform(-0.2, 1, size=(N_IMAGES, N_STEPS, N_LABELS))
    values[:, 0] = np.nan
    dims = ("image", "time", "label")
    coords = {
        "image": np.arange(N_IMAGES),
        "time": 0.001 * (np.arange(N_STEPS) + 1),
        "label": ["cat", "dog", "emu", "fox"],
    }
    return xr.Dataset(
        {
            "pearson": (dims, values, {"units": "1", "range": [-1.0, 1.0], "better": "higher"}),
            "rmse": (dims, 3 - values, {"units": "logit", "range": [0.0, np.inf], "better": "lower"}),
        },
        coords,
    )


@pytest.fixture
def images(rng):
    return rng.uniform(50, 200, size=(N_IMAGES, PIXELS, PIXELS, 1))
