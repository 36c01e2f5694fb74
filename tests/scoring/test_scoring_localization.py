import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from nengo_cam import cumulative, localization_scores
from nengo_cam.exceptions import LabelError, ParameterError, ResultError
from nengo_cam.scoring.agreement import alignment as checks
from nengo_cam.scoring.localization import area_iou, center_prior, energy_inside, pointing_game


def make(maps, y=None, x=None, labels=None, size=None, time=None):
    """A Dataset of maps (image, [time,] label, y, x)."""
    maps = np.asarray(maps)
    y, x = (np.arange(n) if c is None else c for n, c in zip(maps.shape[-2:], (y, x)))
    labels = np.arange(maps.shape[-3]) if labels is None else labels
    leading = ("image", "time", "label") if maps.ndim == 5 else ("image", "label")
    coords = {"image": np.arange(len(maps)), "label": labels, "y": y, "x": x}
    if maps.ndim == 5:
        coords["time"] = 1e-3 * np.arange(1, maps.shape[1] + 1)
    size = maps.shape[-2:] if size is None else size
    return xr.Dataset({"cam": ((*leading, "y", "x"), maps)}, coords, {"input_shape": [*size, 1]})


def nearest(centers, pixel):
    distances = [abs(c - pixel) for c in centers]
    return [i for i, d in enumerate(distances) if d == min(distances)]


def slow_scores(cam, y, x, mask, threshold, tolerance):
    """Pixel by pixel: a map is stretched over the image; what lies halfway counts by half."""
    inside, area = np.zeros(cam.shape), np.zeros(cam.shape)
    for r, c in np.ndindex(mask.shape):
        cells = list(itertools.product(nearest(y, r), nearest(x, c)))
        for cell in cells:
            area[cell] += 1 / len(cells)
            inside[cell] += mask[r, c] / len(cells)
    hits = []
    for cell in np.argwhere(cam == cam.max()):
        here = y[cell[0]], x[cell[1]]
        pixels = [p for p in np.ndindex(mask.shape) if max(abs(p[0] - here[0]), abs(p[1] - here[1])) <= 0.5]
        distances = [np.hypot(p[0] - q[0], p[1] - q[1]) for p in pixels for q in np.argwhere(mask)]
        hits.append(min(distances) <= tolerance)
    positive = [(inside[p] * cam[p], area[p] * cam[p]) for p in np.ndindex(cam.shape) if cam[p] > 0]
    energy = sum(i for i, _ in positive) / sum(a for _, a in positive)
    marked = [p for p in np.ndindex(cam.shape) if cam[p] > 0 and cam[p] >= threshold * cam.max()]
    shared, ours = sum(inside[p] for p in marked), sum(area[p] for p in marked)
    chance = ours / mask.size * mask.sum()
    return {
        "pointing": np.mean(hits),
        "energy": energy,
        "iou": shared / (ours + mask.sum() - shared),
        "iou_random": chance / (ours + mask.sum() - chance),
        "energy_random": mask.mean(),
    }


GRIDS = {
    "pixels": (np.arange(7.0), np.arange(8.0)),
    "on edges": (0.5 + 2 * np.arange(3), 0.5 + 2 * np.arange(4)),
    "halfway": (3.0 * np.arange(3), 2.0 * np.arange(4)),
    "off center": (1 + 2.0 * np.arange(3), 0.25 + 1.75 * np.arange(4)),
}


@pytest.mark.parametrize("tolerance", [0, 1.5])
@pytest.mark.parametrize("grid", GRIDS)
def test_against_a_loop_over_pixels(grid, tolerance):
    y, x = GRIDS[grid]
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 2, 2, len(y), len(x))).astype("f4")
    masks = rng.random((3, 2, 7, 8)) < 0.15
    scores = localization_scores(make(maps, y, x), masks=masks, tolerance=tolerance, threshold=0.3)
    for i, t, k in np.ndindex(3, 2, 2):
        expected = slow_scores(maps[i, t, k].astype(float), y, x, masks[i, k], 0.3, tolerance)
        for name, value in expected.items():
            dims = {"image": i, "time": t, "label": k}
            found = scores[name].isel({dim: index for dim, index in dims.items() if dim in scores[name].dims})
            assert float(found) == pytest.approx(value, abs=1e-6), name


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=30)
def test_overlap_of_pixels_is_sklearns(seed):
    rng = np.random.default_rng(seed)
    cam, mask = rng.normal(size=(5, 6)) + 1, rng.random((5, 6)) < 0.3
    found = area_iou(cam, mask, np.ones((5, 6)), threshold=0.5)
    if cam.max() > 0 or mask.any():
        expected = jaccard_score(mask.ravel(), ((cam >= 0.5 * cam.max()) & (cam > 0)).ravel(), zero_division=0)
        assert found == pytest.approx(expected)


@pytest.fixture
def bump():
    """An 8 x 8 image, with one bright pixel at (2, 5) and half as much at (6, 1), which is evidence for label 0."""
    cam = np.full((1, 2, 8, 8), -1.0)
    cam[0, 0, 2, 5], cam[0, 0, 6, 1] = 2, 1
    return make(cam)


def test_closed_forms_of_a_box(bump):
    # Rows 2 and 3, columns 4 and 5: 4 of 64 pixels.
    scores = localization_scores(bump, boxes=[[[2, 4, 4, 6]]], box_labels=[[0]], threshold=0.5).isel(image=0)
    first = scores.isel(label=0)
    assert float(first.pointing) == 1
    assert float(first.energy) == pytest.approx(2 / 3)
    # Two cells are marked, one of them inside.
    assert float(first.iou) == pytest.approx(1 / 5)
    assert float(first.pointing_random) == pytest.approx(4 / 64)
    assert float(first.energy_random) == pytest.approx(4 / 64)
    chance = 2 * 4 / 64
    assert float(first.iou_random) == pytest.approx(chance / (2 + 4 - chance))
    # The center is where pixels 3 and 4 meet: (3, 4) is in the box.
    assert float(first.pointing_center) == 1
    # There is no object of the other label.
    assert scores.isel(label=1).to_array().isnull().all()


def test_the_center_baselines():
    n = 8
    masks = np.zeros((1, 1, n, n), bool)
    masks[:, :, :, n // 2 :] = True
    scores = localization_scores(make(np.ones((1, 1, n, n))), masks=masks, threshold=0.2)
    # Half of a symmetric bump is in half of the image.
    assert scores.energy_center.item() == pytest.approx(0.5)
    distances = (np.arange(n) - 3.5) / (0.25 * n)
    prior = np.exp(-(distances[:, None] ** 2 + distances**2) / 2)
    np.testing.assert_allclose(center_prior([np.arange(n)] * 2, (n, n)), prior)
    marked = (prior >= 0.2 * prior.max()).sum()
    assert scores.iou_center.item() == pytest.approx((marked / 2) / (marked / 2 + n * n / 2))
    away = np.zeros((1, 1, n, n), bool)
    away[0, 0, 0, 0] = True
    assert localization_scores(make(np.ones((1, 1, n, n))), masks=away).pointing_center.item() == 0
    # From pixel (3, 3) to (0, 0).
    for tolerance, expected in ((4.2, 0), (4.3, 1)):
        found = localization_scores(make(np.ones((1, 1, n, n))), masks=away, tolerance=tolerance)
        assert found.pointing_center.item() == expected


def test_a_uniform_map_scores_what_chance_does():
    masks = np.random.default_rng(0).random((2, 3, 6, 5)) < 0.3
    scores = localization_scores(make(np.full((2, 3, 6, 5), 0.7)), masks=masks)
    for name in ("pointing", "energy", "iou"):
        np.testing.assert_allclose(scores[name], scores[f"{name}_random"])


def test_a_random_map_scores_what_chance_does_on_average():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(1, 4000, 1, 5, 6))
    masks = np.zeros((1, 1, 5, 6), bool)
    masks[0, 0, 1:4, 2:4] = True
    scores = localization_scores(make(maps), masks=masks)
    for name in ("pointing", "energy"):
        assert float(scores[name].mean()) == pytest.approx(float(scores[f"{name}_random"].mean()), abs=0.02)
    assert float(scores.iou.mean()) == pytest.approx(float(scores.iou_random.mean()), abs=0.02)


def test_coordinates_decide_not_positions():
    """A map of 2 x 2 cells that all look at the left half of the image."""
    cam = make([[[[1.0, 3.0], [0, 0]]]], y=[1.0, 6.0], x=[0.0, 3.0], size=(8, 8))
    box = {"boxes": [[[0, 4, 8, 8]]], "box_labels": [[0]]}
    right = localization_scores(cam, **box)
    # The strongest cell is that of the right column, but its center is not in the right half.
    assert right.pointing.item() == 0
    assert localization_scores(cam, **box, tolerance=1).pointing.item() == 1
    # Columns 0 and 1 belong to the first cell, 2 to 7 to the second, of which 4 to 7 are inside.
    assert right.energy.item() == pytest.approx(4 * 4 * 3 / (4 * (2 * 1 + 6 * 3)))


def test_ties_count_by_the_part_that_hits():
    maps = np.array([[1, 1, 0], [0, 1, 1.0]])
    hits = np.array([[1, 0, 1], [1, 0, 0]], bool)
    assert pointing_game(maps, hits) == 1 / 4
    assert pointing_game(0 * maps, hits) == 3 / 6


def test_negative_and_blank_maps():
    hits = np.eye(2, dtype=bool)
    negative = np.array([[-1, -2], [-3, -4.0]])
    assert pointing_game(negative, hits) == 1
    assert np.isnan(energy_inside(negative, hits, np.ones((2, 2))))
    assert np.isnan(energy_inside(0 * negative, hits, np.ones((2, 2))))
    assert area_iou(negative, hits, np.ones((2, 2))) == 0
    assert area_iou(np.array([[5, -4], [-3, 0.0]]), hits, np.ones((2, 2))) == 1 / 2
    holed = np.array([[np.nan, 1], [2, 3]])
    assert np.isnan([pointing_game(holed, hits), energy_inside(holed, hits, np.ones((2, 2)))]).all()
    assert np.isnan(area_iou(holed, hits, np.ones((2, 2))))


def test_burn_in_is_nan():
    maps = np.random.default_rng(0).random((2, 4, 1, 3, 3))
    masks = np.ones((2, 1, 3, 3), bool)
    scores = localization_scores(cumulative(make(maps), burn_in=2), masks=masks)
    for name in ("pointing", "energy", "iou", "iou_random"):
        assert scores[name].isel(time=slice(2)).isnull().all()
        assert scores[name].isel(time=slice(2, None)).notnull().all()


@given(st.integers(0, 2**31 - 1), st.sampled_from(list(GRIDS)), st.floats(0.01, 100))
@settings(deadline=None, max_examples=30)
def test_scale_and_mirror(seed, grid, scale):
    y, x = GRIDS[grid]
    rng = np.random.default_rng(seed)
    maps, masks = rng.normal(size=(2, 2, len(y), len(x))), rng.random((2, 2, 7, 8)) < 0.3
    scores = localization_scores(make(maps, y, x), masks=masks, tolerance=1)
    scaled = localization_scores(make(scale * maps, y, x), masks=masks, tolerance=1)
    xr.testing.assert_allclose(scaled, scores)
    mirrored = make(maps[..., ::-1], y, 7 - x[::-1])
    xr.testing.assert_allclose(localization_scores(mirrored, masks=masks[..., ::-1], tolerance=1), scores)
    order = [1, 0]
    swapped = localization_scores(make(maps[order], y, x), masks=masks[order], tolerance=1)
    np.testing.assert_allclose(swapped.iou, scores.iou.values[order])


def test_boxes_are_masks():
    rng = np.random.default_rng(0)
    maps = make(rng.normal(size=(2, 3, 6, 8)), labels=["a", "b", "c"])
    nan = [np.nan] * 4
    # Two boxes of a label; one of a label without map; one that sticks out; a fraction of a pixel.
    boxes = [[[0, 0, 2, 3], [4, 4, 6, 8], nan], [[1, 2, 3, 3], [2, -1, 9, 4], [0.5, 3, 2.5, 4.2]]]
    box_labels = [["b", "b", "b"], ["z", "a", "c"]]
    masks = np.zeros((2, 3, 6, 8), bool)
    masks[0, 1, 0:2, 0:3] = masks[0, 1, 4:6, 4:8] = True
    masks[1, 0, 2:6, 0:4] = True
    # Pixel centers 1 and 2, 3 and 4.
    masks[1, 2, 1:3, 3:5] = True
    found = localization_scores(maps, boxes=boxes, box_labels=box_labels)
    xr.testing.assert_identical(found, localization_scores(maps, masks=masks))
    by_label = [[nan, [0, 0, 2, 3], nan], [[2, 0, 6, 4], nan, [1, 3, 3, 5]]]
    masks[0, 1, 4:6, 4:8] = False
    xr.testing.assert_identical(localization_scores(maps, boxes=by_label), localization_scores(maps, masks=masks))


def test_maps_of_one_and_three_axes():
    rng = np.random.default_rng(0)
    flat = make(rng.normal(size=(2, 2, 1, 6)), size=(1, 6))
    masks = rng.random((2, 2, 1, 6)) < 0.6
    expected = localization_scores(flat, masks=masks)
    line = flat.isel(y=0, drop=True)
    boxes = [[[1, 4], [0, 2]], [[3, 6], [2, 3]]]
    as_box = [[[0, a, 1, b] for a, b in row] for row in boxes]
    for name in ("pointing", "energy", "iou", "iou_random"):
        np.testing.assert_allclose(localization_scores(line, masks=masks[:, :, 0])[name], expected[name])
        found = localization_scores(line, boxes=boxes, image_shape=[6])[name]
        np.testing.assert_allclose(found, localization_scores(flat, boxes=as_box)[name])
    volume = xr.concat([line.expand_dims(y=[0]).expand_dims(z=[float(z)]) for z in range(1)], "z")
    for name in ("pointing", "energy", "iou"):
        np.testing.assert_allclose(localization_scores(volume, masks=masks[:, :, None])[name], expected[name])


@pytest.mark.parametrize("size", [1, 50, 200])
def test_blocks_change_nothing(monkeypatch, size):
    rng = np.random.default_rng(0)
    maps, masks = make(rng.normal(size=(3, 4, 2, 4, 5))), rng.random((3, 2, 4, 5)) < 0.5
    whole = localization_scores(maps, masks=masks)
    monkeypatch.setattr(checks, "BLOCK_SIZE", size)
    xr.testing.assert_identical(localization_scores(maps, masks=masks), whole)


def test_dims_attributes_and_a_round_trip(tmp_path):
    maps = make(np.random.default_rng(0).normal(size=(2, 3, 2, 4, 5)))
    scores = localization_scores(maps, masks=np.ones((2, 2, 4, 5), bool), tolerance=2, threshold=0.25)
    for name in scores:
        over_time = name in ("pointing", "energy", "iou", "iou_random")
        assert scores[name].dims == (("image", "time", "label") if over_time else ("image", "label"))
        assert scores[name].attrs["better"] == "higher"
    assert len(scores) == 9
    assert scores.attrs == {"tolerance": 2.0, "threshold": 0.25}
    scores.to_netcdf(tmp_path / "scores.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "scores.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_identical(loaded.load(), scores)


BOX = [[[0, 0, 2, 2]]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ParameterError, "boxes: expected either boxes or masks, got none"),
        ({"boxes": BOX, "masks": 1}, ParameterError, "boxes: expected either boxes or masks, got both"),
        ({"boxes": BOX[0]}, ParameterError, r"boxes: expected shape \(1, B, 4\), .* got \(1, 4\)"),
        ({"boxes": BOX}, LabelError, r"box_labels: expected a label for each box, shape \(1, 1\), got \(1, 2\)"),
        ({"boxes": BOX, "box_labels": [0]}, LabelError, r"box_labels: .* got \(1,\)"),
        ({"boxes": BOX, "box_labels": [["0"]]}, LabelError, r"box_labels: none has a map; expected some of \[0, 1\]"),
        ({"boxes": [[[2, 0, 1, 2]]], "box_labels": [[0]]}, ParameterError, r"boxes: .* got \[2.0, 0.0, 1.0, 2.0\]"),
        ({"boxes": [[[9, 0, 10, 2]]], "box_labels": [[0]]}, ParameterError, r"boxes: .* image of \(4, 5\) pixels"),
        ({"boxes": [[[0, np.nan, 1, 2]]], "box_labels": [[0]]}, ParameterError, "boxes: expected first corners"),
        ({"masks": np.ones((1, 2, 4, 5))}, ParameterError, "masks: expected booleans .* got float64"),
        ({"masks": np.ones((1, 4, 5), bool)}, ParameterError, r"masks: expected .* \(1, 2, ...\) .* \(1, 4, 5\)"),
        ({"boxes": BOX, "box_labels": [[0]], "tolerance": -1}, ParameterError, "tolerance: expected pixels from 0 up"),
        ({"boxes": BOX, "box_labels": [[0]], "threshold": 0}, ParameterError, "threshold: expected a number above 0"),
        ({"boxes": BOX, "image_shape": (4, 5, 1)}, ParameterError, "image_shape: expected 2 whole numbers of pixels"),
    ],
)
def test_arguments_out_of_range(options, error, message):
    with pytest.raises(error, match=message):
        localization_scores(make(np.zeros((1, 2, 4, 5))), **options)


def test_datasets_that_do_not_fit():
    maps = make(np.zeros((1, 2, 4, 5)))
    with pytest.raises(ResultError, match="maps: expected a Dataset with the variable 'cam'"):
        localization_scores(maps.cam, boxes=BOX)
    with pytest.raises(ResultError, match=r"maps: no coordinates \['y'\]"):
        localization_scores(maps.drop_vars("y"), boxes=BOX)
    maps.attrs.clear()
    with pytest.raises(ResultError, match="maps: the size of the image is not known"):
        localization_scores(maps, boxes=BOX)
