"""Film where a spiking network looks: a Keras model and images in, a GIF or MP4 out.

Without arguments it films three digits with the CNN that ships with the package:

    python examples/animate_cam.py
    python examples/animate_cam.py model.h5 cat.png dog.png --range -1 1 --output pets.gif
    python examples/animate_cam.py model.h5 images.npy --calibrate training.npy --neurons signed --steps 200

The model has to end in global average pooling and a linear layer. Pictures are resized to its input and scaled so that
black and white become --range; arrays (.npy, .npz) are taken as they are.
"""

import argparse
import pathlib
import sys

import numpy as np

import nengo_cam as ncam
from nengo_cam.checks.images import check_images
from nengo_cam.models.files import PICTURE_SUFFIXES, load_images, load_keras_model

ncam.compat.quiet_tensorflow()

NEURONS = {
    "auto": "auto",
    "unsigned": ncam.IntegrateAndFire(),
    "signed": ncam.SignedIntegrateAndFire(),
    "graded": ncam.SigmaDelta(bits=None),
}


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="saved Keras model; default: the digits' CNN that ships")
    parser.add_argument("images", nargs="*", help="PNG, JPEG, .npy or .npz; default, without a model: three digits")
    parser.add_argument("--output", default="cam.gif", help="film to write, .gif or .mp4 (default: %(default)s)")
    parser.add_argument("--calibrate", nargs="+", metavar="FILE", help="images to find firing rates on; best others")
    parser.add_argument("--range", nargs=2, type=float, default=(0, 1), metavar=("BLACK", "WHITE"),
                        help="what black and white are to the model (default: 0 1)")  # fmt: skip
    parser.add_argument("--neurons", choices=NEURONS, default="auto", help="what a spike may be (default: by depth)")
    parser.add_argument("--target-rate", type=float, default=200, help="rate of strong activity [Hz] (%(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="time steps of 1 ms (default: %(default)s)")
    parser.add_argument("--stride", type=int, default=2, help="time steps from frame to frame (default: %(default)s)")
    parser.add_argument("--most", type=int, default=4, help="images to film, side by side (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.model and not options.images:
        parser.error("images: a model of your own needs some; expected files, got none. Name one behind the model.")
    return options


def read(paths, input_shape, black, white):
    """Read files into one array (N, Y, X, channels), in the range of the model."""
    arrays = []
    for path in paths:
        array = load_images(path, size=input_shape[:2], channels=input_shape[-1])
        if pathlib.Path(path).suffix.lower() in PICTURE_SUFFIXES:
            array = array / 255 * (white - black) + black
        arrays.append(check_images(array, input_shape))
    return np.concatenate(arrays)


def film(options):
    """Convert, run, and save the film."""
    ncam.plotting.check_film(options.output)  # before the work, not after it
    if options.model is None:
        (train, _), (images, _) = ncam.datasets.digits()
        model, images, calibration = ncam.datasets.digits_model(), images[:3], train[:200]
    else:
        model = load_keras_model(options.model)
        shape = ncam.find_head(model).input_shape
        images = read(options.images, shape, *options.range)
        calibration = read(options.calibrate or options.images, shape, *options.range)
    images = images[: options.most]

    net = ncam.convert(
        model, neurons=NEURONS[options.neurons], calibrate_on=calibration, target_rate=options.target_rate
    )
    spiking = ncam.spiking_cam(net, images, n_steps=options.steps, seed=0)
    rate = ncam.rate_cam(net, images)

    print(f"labels: {spiking.cnn_answer.values.tolist()} by the CNN, {spiking.answer.values.tolist()} in spikes")
    # The mean from the start; where levels are held, the steps as they are.
    averaged = ncam.cumulative(spiking)
    ncam.animate(averaged, rate, images, image=range(len(images)), stride=options.stride).save(options.output)
    print(options.output)


def main(arguments=None):
    """Run, and say in one line what is wrong with what was asked for."""
    options = parse(arguments)
    try:
        film(options)
    except ncam.CAMError as err:
        sys.exit(f"animate_cam: {err}")


if __name__ == "__main__":
    main()
