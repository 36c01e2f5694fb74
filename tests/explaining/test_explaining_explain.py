import re
import sys

import numpy as np
import pytest
from PIL import Image

import nengo_cam as ncam
from nengo_cam.exceptions import AnswerWarning, DepthWarning, InputFileError, LabelError, ParameterError
from nengo_cam.explaining.explain import ALL_LABELS, BEST_LABELS

RUN = {"n_steps": 20, "seed": 0, "progress_bar": False}


@pytest.fixture(scope="module")
def explained(small_model, images):
    return ncam.explain(small_model, images, **RUN)


def test_it_is_what_the_steps_one_by_one_give(explained, small_model, images):
    net = ncam.convert(small_model, neurons="auto", calibrate_on=images)
    spiking = ncam.spiking_cam(net, images, **RUN)
    rate = ncam.rate_cam(net, images)
    np.testing.assert_array_equal(explained.spiking.cam, spiking.cam)
    np.testing.assert_array_equal(explained.rate.cam, rate.cam)
    scores = ncam.compare(ncam.cumulative(spiking), rate)
    for name in ("pearson", "ssim"):
        np.testing.assert_array_equal(explained.agreement[name], scores[name])
    assert explained.net.choice == net.choice
    assert str(explained.verification) in str(explained)
    assert explained.verification.completeness_error < 1e-5


def test_files_give_what_arrays_give(tmp_path, make_model):
    model = make_model(shape=(12, 12, 3))
    model.save(tmp_path / "model.h5", include_optimizer=False)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 12, 12, 3), dtype=np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, picture in zip(paths, pixels):
        Image.fromarray(picture).save(path)
    (tmp_path / "names.txt").write_text("cat\ndog\nbird\n\n")
    scaled = pixels.astype(np.float32) / 255 * 2 - 1
    expected = ncam.explain(model, scaled, label_names=["cat", "dog", "bird"], **RUN)
    found = ncam.explain(str(tmp_path / "model.h5"), paths, rescale=(-1, 1), label_names=tmp_path / "names.txt", **RUN)
    np.testing.assert_allclose(found.images, scaled, atol=1e-6)
    np.testing.assert_allclose(found.spiking.cam, expected.spiking.cam, atol=1e-4)
    assert found.sentences == expected.sentences
    # Arrays of pixels too, and one path alone.
    arrays = ncam.explain(model, pixels, rescale=(-1, 1), **RUN)
    np.testing.assert_array_equal(arrays.images, found.images)
    one = ncam.explain(model, str(paths[1]), calibrate_on=pixels, rescale=(-1, 1), **RUN)
    np.testing.assert_array_equal(one.images, found.images[1:])


def test_sentences_say_what_both_answer(explained, images):
    expected = explained.net.cnn_logits(images).argmax(1)
    own = explained.spiking.logits.isel(time=slice(10, None)).mean("time").values.argmax(1)
    for i, (ours, cnn) in enumerate(zip(own, expected)):
        said = (
            f"both networks answer {cnn}" if ours == cnn else f"the spiking network answers {ours}, but the CNN {cnn}"
        )
        assert explained.sentences[i] == f"image {i}: {said}"
    assert explained.differing == np.flatnonzero(own != expected).tolist()
    assert f"{int((own == expected).sum())} of 5 answers are the CNN's" in str(explained)
    assert f"neurons {explained.net.choice}" in str(explained)


@pytest.mark.parametrize("n_images", [4, 40])
def test_it_warns_by_name_of_each_that_is_answered_otherwise(make_model, n_images):
    """One among many too, of which a run alone does not warn."""
    model = make_model(shape=(4, 4, 1), channels=(3,), n_labels=2)
    weights = [0 * w for w in model.get_layer("conv0").get_weights()]
    weights[0][1, 1, 0] = 1
    model.get_layer("conv0").set_weights(weights)
    kernel = np.zeros((3, 2), np.float32)
    kernel[0, 1] = 1
    # The CNN answers 1 for more than .1, unit spikes are too few for that to be told.
    model.get_layer("readout").set_weights([kernel, np.array([0.1, 0], np.float32)])
    images = np.full((n_images, 4, 4, 1), 1, np.float32)
    images[2] = 0.12
    with pytest.warns(AnswerWarning, match="image 2") as caught:
        found = ncam.explain(
            model, images, neurons=ncam.IntegrateAndFire(), label_names=["dark", "light"], n_steps=20, seed=0,
            target_rate=100, progress_bar=False,
        )  # fmt: skip
    assert len([w for w in caught if issubclass(w.category, AnswerWarning)]) == 1
    assert [w.filename for w in caught if w.category is AnswerWarning] == [__file__]
    assert found.differing == [2]
    assert found.sentences[2] == "image 2: the spiking network answers dark, but the CNN light"


def test_of_many_labels_those_that_matter_are_kept(make_model, images):
    model = make_model(n_labels=ALL_LABELS + 1)
    found = ncam.explain(model, images, **RUN)
    logits = found.net.cnn_logits(images)
    wanted = {label for row in logits for label in np.argsort(row)[-BEST_LABELS:]} | {*found.spiking.answer.values}
    assert found.spiking.label.values.tolist() == found.rate.label.values.tolist() == sorted(wanted)
    whole = ncam.spiking_cam(found.net, images, **RUN)
    np.testing.assert_array_equal(found.spiking.cam, whole.cam.sel(label=found.spiking.label))
    assert ncam.explain(model, images, labels=[3], **RUN).spiking.label.values.tolist() == [3]


def test_it_shows_itself(explained, tmp_path):
    page = explained._repr_html_()
    assert all(f"<p>{sentence}</p>" in page for sentence in explained.sentences)
    assert "<iframe" in page
    film = explained.film([0, 1])
    assert (len(film.panels), film.steps) == (2, list(range(20)))
    film.save(tmp_path / "cam.gif", progress_bar=False)
    with Image.open(tmp_path / "cam.gif") as saved:
        assert saved.n_frames == 20
    player = explained.player(image=1)
    assert player.image == 1
    assert len(player.show.times) == 20


def test_names_in_the_page_stay_text(small_model, images):
    names = ["<script>alert(1)</script>", "a\nb", "c"]
    found = ncam.explain(small_model, images, label_names=names, **RUN)
    assert "<script>alert" not in "".join(found._repr_html_().partition("<iframe")[:1])
    assert all("\n" not in sentence for sentence in found.sentences)


def test_a_film_of_held_levels_ends_soon_after_they_have_settled(small_model, images):
    found = ncam.explain(small_model, images, neurons=ncam.SigmaDelta(bits=None), **{**RUN, "n_steps": 50})
    # As a run of held levels says of itself.
    found.spiking.attrs["readout"] = "level"
    maps = found.spiking.cam.values
    settled = next(t for t in range(50) if (maps[:, t:] == maps[:, -1:]).all())
    assert settled < 5
    assert len(found.player().show.times) == settled + 1 + 4
    film = found.film()
    assert (len(film.steps), film.fps) == (settled + 1 + 4, 5)


def test_moving_images(small_model, images):
    moving = np.repeat(images[:2, None], 20, axis=1)
    moving[:, 10:] = images[2]
    found = ncam.explain(small_model, moving, **RUN)
    assert found.spiking.sizes["time"] == found.rate.sizes["time"] == 20
    assert len(found.sentences) == 2


@pytest.mark.parametrize("neurons", [ncam.SigmaDelta(None), ncam.IntegrateAndFire()], ids=["levels", "unit spikes"])
@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.MovingInputWarning")
def test_a_film_of_moving_images_follows_the_cnn(small_model, images, neurons):
    moving = np.repeat(images[:2, None], 30, axis=1)
    moving[:, 10:] = images[2]
    found = ncam.explain(small_model, moving, calibrate_on=images, neurons=neurons, n_steps=30, progress_bar=False)
    film = found.film(1, progress_bar=False)
    (panel,) = film.panels
    label = panel.scene.label
    # A running mean would hold a third of the first image in the end, a lowpass an eighth.
    held = found.spiking.attrs["readout"] == "level"
    shown = found.spiking if held else ncam.smooth(found.spiking, 0.01)
    for step in (9, 10, film.steps[-1]):
        film.draw(step)
        np.testing.assert_allclose(panel.maps[1].get_array(), found.rate.cam.sel(label=label)[1, step])
        np.testing.assert_allclose(panel.maps[0].get_array(), shown.cam.sel(label=label)[1, step])
    # Of levels until nothing moves any more.
    assert film.steps[-1] == (14 if held else 29)
    np.testing.assert_allclose(found.agreement.pearson, ncam.compare(shown, found.rate).pearson)
    assert "<iframe" in found._repr_html_()


def test_signals_show_themselves_too(tf):
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input((12, 2)),
            layers.Conv1D(4, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ]
    )
    found = ncam.explain(model, np.random.default_rng(0).random((2, 12, 2), dtype=np.float32), **RUN)
    page = found._repr_html_()
    assert "image 0:" in page and "<iframe" in page


def test_what_is_too_large_for_a_page_is_said_in_words(small_model, images, monkeypatch):
    found = ncam.explain(small_model, images, **RUN)
    # The function of the same name hides the module.
    monkeypatch.setattr(sys.modules["nengo_cam.widgets.player"], "MOST_IN_NOTEBOOK", 10)
    page = found._repr_html_()
    assert "image 0:" in page and "<iframe" not in page and "not kept in the notebook" in page


def test_an_explicit_type_is_honored(make_model, images):
    deep = make_model(channels=(3,) * 6)
    with pytest.warns(DepthWarning, match="Use neurons='auto'") as caught:
        found = ncam.explain(deep, images, neurons=ncam.IntegrateAndFire(), **RUN)
    assert [w.filename for w in caught if w.category is DepthWarning] == [__file__]
    assert type(found.net.neurons) is ncam.IntegrateAndFire
    assert type(ncam.explain(deep, images, **RUN).net.neurons) is ncam.SigmaDelta


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rescale": (1, 0)}, ParameterError, "rescale: expected what black and white are"),
        ({"rescale": 255}, ParameterError, "rescale: expected what black and white are"),
        ({"images": "no.png"}, ParameterError, "expected rescale, such as (0, 1)"),
        ({"images": "no.png", "rescale": (0, 1)}, InputFileError, "no.png"),
        ({"model": "no.h5"}, InputFileError, "no.h5"),
        ({"labels": 9}, LabelError, "labels: 9 does not exist"),
        ({"label_names": ["cat"]}, LabelError, "label_names: expected 3 names"),
        ({"images": np.full((1, 8, 6, 2), 300.0), "rescale": (0, 1)}, ParameterError, "pixels from 0 to 255"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(small_model, images, options, error, message, monkeypatch):
    monkeypatch.setattr("nengo_cam.explaining.explain.convert", lambda *_, **__: pytest.fail("it was converted"))
    arguments = {"model": small_model, "images": images, **RUN, **options}
    with pytest.raises(error, match=re.escape(message)):
        ncam.explain(arguments.pop("model"), arguments.pop("images"), **arguments)
