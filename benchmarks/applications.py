"""Convert CNNs that people use, and measure how far the converted networks are from Keras.

Random weights, and BatchNorm with statistics of its own: random ones, or those of photographs, which make a network
whose maps hang on small differences. In the rate form the logits are compared with Keras's; in the spiking form logits
and maps run over time: completeness, and the correlation with the CNN's of the logits and of the map of its answer,
median and least over images. Calibration images are others. Prints a line of a table for each network.

    python benchmarks/applications.py
    python benchmarks/applications.py --only MobileNet ResNet50 --photographs photographs/*.jpg
"""

import argparse
import time
import warnings

import numpy as np
from agreement import read_crops

import nengo_cam as ncam

ncam.compat.quiet_tensorflow()
tf = ncam.compat.import_tensorflow()

NAMES = ["MobileNet", "MobileNetV2", "ResNet50", "ResNet50V2", "DenseNet121", "Xception", "InceptionV3"]


def random_model(name, size):
    """Build a network with random weights, its BatchNorm statistics those that keep activity in range, roughly."""
    tf.keras.utils.set_random_seed(0)
    model = getattr(tf.keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            low_high = {"gamma": (0.8, 1.2), "beta": (-0.1, 0.3), "moving_mean": (-0.1, 0.1)}
            values = []
            for weight in layer.weights:
                kind = weight.name.split("/")[-1].split(":")[0]
                values.append(rng.uniform(*low_high.get(kind, (0.5, 1.5)), weight.shape))
            layer.set_weights(values)
    return model


def take_statistics(model, images):
    """Give BatchNorm the statistics of images, and neither gain nor offset."""
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            for weight, value in ((layer.gamma, 1), (layer.beta, 0)):
                # Some have neither.
                if weight is not None:
                    weight.assign(value * np.ones(weight.shape))
            layer.momentum = 0
    model(images, training=True)


def closeness(spiking, rate):
    """Correlate logits, and maps of the CNN's answer, with the CNN's: a value for each image."""
    settled = spiking.isel(time=-1) if spiking.attrs["readout"] == "level" else spiking.mean("time")
    logits = [np.corrcoef(own, cnn)[0, 1] for own, cnn in zip(settled.logits.values, rate.logits.values)]
    answers = rate.logits.argmax("label")
    return logits, ncam.correlation(settled.cam.isel(label=answers), rate.cam.isel(label=answers)).values


def measure(name, args):
    """Return a line of the table."""
    model = random_model(name, args.size)
    if args.photographs:
        photographs = read_crops(args.photographs, (args.size, args.size), 2)
        # Crops of the same photograph lie beside each other.
        half = len(args.photographs) // 2 * 2
        others, images = photographs[:half], photographs[half:]
        take_statistics(model, others)
    else:
        rng = np.random.default_rng(1)
        others, images = (rng.random((4, args.size, args.size, 3), dtype=np.float32) for _ in range(2))
    start = time.process_time()
    rate_form = ncam.convert(model, neurons=None)
    logits = ncam.spiking_cam(rate_form, images, n_steps=1, progress_bar=False).logits.values[:, 0]
    expected = model(images, training=False).numpy()
    difference = np.abs(logits - expected).max() / np.ptp(expected)
    spiking_form = ncam.convert(model, calibrate_on=others)
    converted = time.process_time() - start
    start = time.process_time()
    spiking = ncam.spiking_cam(
        spiking_form, images, n_steps=args.steps, minibatch_size=4, count_spikes=True, progress_bar=False
    )
    ran = time.process_time() - start
    kinds = sorted({type(rate_form.converter.model.get_layer(node)).__name__ for node in spiking_form.tensor_nodes})
    nodes = f"{len(spiking_form.tensor_nodes)} {', '.join(kinds)}".strip()
    spikes = float(spiking.spike_count.sum()) / len(images)
    found = (f"{np.nanmedian(c):.4f}, {np.nanmin(c):.4f}" for c in closeness(spiking, ncam.rate_cam(model, images)))
    return (
        f"| {name} | {spiking_form.n_neurons:,} | {nodes} | {difference:.1e} | "
        f"{ncam.completeness_error(spiking):.1e} | {' | '.join(found)} | {spikes / 1e6:.2f} M | {converted:.0f} | "
        f"{ran:.0f} |"
    )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--size", type=int, default=128, help="pixels of a side; with few, a map has one cell")
    parser.add_argument("--steps", type=int, default=25, help="time steps of 1 ms")
    parser.add_argument("--photographs", nargs="+", help="pictures to look at, the first half to calibrate on")
    args = parser.parse_args()
    # Max pooling is named once below, not in a warning for each network.
    warnings.simplefilter("ignore")
    print(
        "| Network | neurons | TensorNodes | logits, rate form | completeness | logits correlate | maps correlate "
        "| spikes per image | converting [CPU s] | running [CPU s] |"
    )
    print("|---" * 10 + "|")
    for name in args.only:
        print(measure(name, args), flush=True)


if __name__ == "__main__":
    main()
