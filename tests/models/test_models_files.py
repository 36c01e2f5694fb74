import json
import pathlib
import warnings
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from nengo_cam.exceptions import InputFileError, ParameterError, UnsafeFileError, UnsupportedModelError
from nengo_cam.models import files as model_files
from nengo_cam.models.files import load_images, load_keras_model

FORMATS = ["model.h5", "model.keras"]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", FORMATS)
def test_models_come_back(small_model, images, tmp_path, name):
    small_model.save(tmp_path / name)
    loaded = load_keras_model(tmp_path / name)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), small_model.predict(images, verbose=0), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", FORMATS)
def test_lambda_layers_are_refused_unless_trusted(tf, make_model, tmp_path, name):
    layers = tf.keras.layers
    inner = tf.keras.Sequential([tf.keras.Input((8, 6, 5)), layers.Lambda(lambda x: x * 2, name="double")])
    make_model(inner, layers.GlobalAveragePooling2D(), layers.Dense(2)).save(tmp_path / name)
    with pytest.raises(UnsafeFileError, match="contains a Lambda layer, .*--unsafe"):
        load_keras_model(tmp_path / name)
    assert load_keras_model(tmp_path / name, unsafe=True).count_params() > 0


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_escapes_in_the_configuration_hide_nothing(small_model, tmp_path):
    small_model.save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        config = file.attrs["model_config"]
        file.attrs["model_config"] = config.replace('"GlobalAveragePooling2D"', '"L\\u0061mbda"')
    with pytest.raises(UnsafeFileError, match="Lambda"):
        load_keras_model(tmp_path / "model.h5")


def test_objects_of_other_modules_are_refused(small_model, tmp_path):
    small_model.save(tmp_path / "model.keras")
    if not zipfile.is_zipfile(tmp_path / "model.keras"):
        pytest.skip("this Keras writes .keras files as HDF5")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][1]["module"] = "os.path"
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    with pytest.raises(UnsafeFileError, match="contains an object of 'os.path'"):
        load_keras_model(tmp_path / "bad.keras")


def test_files_that_hold_no_model(tmp_path):
    with pytest.raises(InputFileError, match="there is no such file"):
        load_keras_model(tmp_path / "no.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(InputFileError, match="expected a Keras model"):
        load_keras_model(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputFileError, match="without a description of one"):
        load_keras_model(tmp_path / "other.h5")
    with h5py.File(tmp_path / "broken.h5", "w") as file:
        file.attrs["model_config"] = '{"class_name": "Functional", "config": {}}'
    with pytest.raises(InputFileError, match="expected the layers of the model Functional, got None"):
        load_keras_model(tmp_path / "broken.h5")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputFileError, match="expected a Keras model"):
        load_keras_model(tmp_path / "folder")


@pytest.mark.parametrize("name", ["model.weights.h5", "weights.h5"])
def test_weights_alone_are_called_so(small_model, tmp_path, name):
    # By name, newer versions of Keras write another layout.
    small_model.save_weights(tmp_path / name, **({} if "weights." in name else {"save_format": "h5"}))
    with pytest.raises(InputFileError, match="holds weights only, without the model .*load_weights"):
        load_keras_model(tmp_path / name)


def test_arrays(tmp_path):
    array = np.random.default_rng(0).random((3, 4, 5, 2))
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "one.npz", anything=array)
    np.savez(tmp_path / "two.npz", images=array, classes=np.arange(3))
    for name in ("a.npy", "one.npz", "two.npz"):
        np.testing.assert_array_equal(load_images(tmp_path / name), array)
    np.save(tmp_path / "gray.npy", array[..., 0])
    assert load_images(tmp_path / "gray.npy").shape == (3, 4, 5, 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures(tmp_path, suffix):
    colors = np.zeros((20, 30, 3), np.uint8)
    colors[:, 15:] = (200, 40, 0)
    Image.fromarray(colors).save(tmp_path / f"a{suffix}", quality=95)
    whole = load_images(tmp_path / f"a{suffix}", channels=3)
    assert whole.shape == (1, 20, 30, 3)
    np.testing.assert_allclose(whole[0, 10, [2, 28]], [(0, 0, 0), (200, 40, 0)], atol=6)
    small = load_images(tmp_path / f"a{suffix}", size=(10, 6), channels=1)
    assert small.shape == (1, 10, 6, 1)
    # ITU-R 601 luma, as Pillow documents it.
    assert float(small[0, 5, 5, 0]) == pytest.approx(200 * 0.299 + 40 * 0.587, abs=6)


def test_pickles_are_refused_unless_trusted(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{"x": 1}]]), allow_pickle=True)
    with pytest.raises(UnsafeFileError, match="pickled Python objects.*--unsafe"):
        load_images(tmp_path / "a.npy")
    assert load_images(tmp_path / "a.npy", unsafe=True)[0, 0] == {"x": 1}
    np.savez(tmp_path / "a.npz", images=np.array([{"x": 1}], dtype=object))
    with pytest.raises(UnsafeFileError, match="pickled Python objects"):
        load_images(tmp_path / "a.npz")


def test_files_that_hold_no_images(tmp_path):
    with pytest.raises(InputFileError, match="there is no such file"):
        load_images(tmp_path / "no.npy")
    for name, message in (
        ("a.npy", "is no array at all"),
        ("a.npz", "it cannot be unpacked"),
        ("a.png", "cannot be read as a picture"),
        ("a.bmp", "'.bmp'"),
    ):
        (tmp_path / name).write_bytes(b"hello")
        with pytest.raises((InputFileError, UnsafeFileError), match=message):
            load_images(tmp_path / name)
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(InputFileError, match=r"expected one array, or one named 'images', got \['a', 'b'\]"):
        load_images(tmp_path / "two.npz")


def test_a_file_that_is_two_formats_at_once_is_read_as_keras_reads_it(tf, make_model, tmp_path):
    layers = tf.keras.layers
    model = make_model(layers.Lambda(lambda x: x * 2), layers.GlobalAveragePooling2D(), layers.Dense(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "lambda.h5")
    with zipfile.ZipFile(tmp_path / "harmless.zip", "w") as archive:
        archive.writestr("config.json", "{}")
    both = (tmp_path / "lambda.h5").read_bytes() + (tmp_path / "harmless.zip").read_bytes()
    (tmp_path / "both.h5").write_bytes(both)
    with pytest.raises(UnsafeFileError, match="contains a Lambda layer"):
        load_keras_model(tmp_path / "both.h5")


def test_saved_models_are_refused_unless_trusted(small_model, images, tmp_path):
    small_model.save(tmp_path / "folder")
    with pytest.raises(UnsafeFileError, match=r"is a SavedModel, .*model.save\('model.keras'\).*--unsafe"):
        load_keras_model(tmp_path / "folder")
    loaded = load_keras_model(tmp_path / "folder", unsafe=True)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), small_model.predict(images, verbose=0), rtol=1e-6)


def test_pictures_with_16_bits_transparency_and_orientation(tmp_path):
    ramp = np.linspace(0, 65535, 30).astype(np.uint16).reshape(5, 6)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    np.testing.assert_allclose(load_images(tmp_path / "deep.png", channels=1)[0, ..., 0], ramp / 257, atol=1)
    clear = np.zeros((5, 6, 4), np.uint8)
    clear[2, 3] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    loaded = load_images(tmp_path / "clear.png", channels=3)[0]
    assert loaded[0, 0].tolist() == [255, 255, 255]
    assert loaded[2, 3].tolist() == [10, 20, 30]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(np.zeros((5, 9, 3), np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    assert load_images(tmp_path / "turned.jpg").shape == (1, 9, 5, 3)


def test_files_of_keras_3_run_no_code_either(tmp_path):
    stored = pathlib.Path(__file__).parents[1] / "data" / "keras3_gap.keras"
    with zipfile.ZipFile(stored) as whole, zipfile.ZipFile(tmp_path / "lambda.keras", "w") as changed:
        for name in whole.namelist():
            content = whole.read(name)
            changed.writestr(name, content.replace(b'"ReLU"', b'"Lambda"') if name == "config.json" else content)
    with pytest.raises(UnsafeFileError, match="contains a Lambda layer.*--unsafe"):
        load_keras_model(tmp_path / "lambda.keras")
    # Trusted or not, code of Keras 3 is not run.
    with pytest.raises(UnsupportedModelError, match=r"\(Lambda\) cannot be rebuilt .* got Python code"):
        load_keras_model(tmp_path / "lambda.keras", unsafe=True)


@pytest.fixture
def wide(tmp_path):
    """A picture twice as wide as high: black, its middle white."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


def test_pictures_of_another_shape(wide):
    cropped = load_images(wide, size=(10, 10), channels=3, fit="crop")
    # Nothing but the middle, all of it white.
    assert cropped.shape == (1, 10, 10, 3)
    # The outermost columns see half a pixel of what was cut off.
    assert (cropped[:, :, 1:-1] == 255).all() and cropped.min() > 200
    padded = load_images(wide, size=(10, 10), channels=3, fit="pad")[0]
    # Gray above and below, and the whole picture at a quarter of its area between.
    assert (padded[[0, 1, -2, -1]] == 127).all()
    assert (padded[5, 4:6] == 255).all() and (padded[5, [0, -1]] == 0).all()
    stretched = load_images(wide, size=(10, 10), channels=3, fit="stretch")[0]
    np.testing.assert_array_equal(stretched, load_images(wide, size=(10, 10), channels=3)[0])
    # The middle half stays the middle half.
    assert (stretched[:, 4:6] == 255).all() and (stretched[:, [0, 1, -2, -1]] == 0).all()
    gray = load_images(wide, size=(10, 10), channels=1, fit="pad")[0, ..., 0]
    assert (gray[0] == 127).all()
    with pytest.raises(
        ParameterError, match=r"fit: unknown; expected one of \['crop', 'pad', 'stretch'\], got 'squash'"
    ):
        load_images(wide, size=(10, 10), fit="squash")


def test_the_size_of_a_picture_is_that_of_the_upright_one(wide, tmp_path):
    assert model_files.picture_size(wide) == (20, 40)
    picture = Image.open(wide)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert model_files.picture_size(tmp_path / "turned.jpg") == (40, 20)
    assert load_images(tmp_path / "turned.jpg").shape == (1, 40, 20, 3)
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(InputFileError, match="cannot be read as a picture"):
        model_files.picture_size(tmp_path / "no.png")


def test_arrays_of_any_number_of_axes(tmp_path):
    cases = [((3, 9), (9,), 1, (3, 9, 1)), ((3, 9, 2), (9,), 2, (3, 9, 2)), ((3, 9, 1), (9,), 1, (3, 9, 1))]
    cases += [((3, 4, 5, 6), (4, 5, 6), 1, (3, 4, 5, 6, 1)), ((4, 5, 3), (4, 5), 3, (4, 5, 3))]
    for shape, size, channels, expected in cases:
        np.save(tmp_path / "a.npy", np.zeros(shape))
        assert load_images(tmp_path / "a.npy", size=size, channels=channels).shape == expected
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(InputFileError, match=r"a picture has two axes; expected images of 3, .* Give .npy or .npz"):
        load_images(tmp_path / "a.png", size=(4, 5, 6), channels=1)


def test_a_number_is_no_array_of_images(tmp_path):
    np.save(tmp_path / "a.npy", 3.0)
    np.savez(tmp_path / "a.npz", images=3.0)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputFileError, match="expected an array of images, got a single number"):
            load_images(tmp_path / name)
