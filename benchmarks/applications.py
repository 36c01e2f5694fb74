"""Convert CNNs that people use, and measure how far the converted networks are from Keras.

Random weights with random BatchNorm statistics, two random images of 96 x 96 pixels. In the rate form the logits are
compared with Keras's; in the spiking form the maps run over time, and mean of the map + bias with the logits. Prints a
line of a table for each.

    python benchmarks/applications.py
    python benchmarks/applications.py --only MobileNet ResNet50
"""

import argparse
import time
import warnings

import numpy as np

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


def measure(name, size, n_steps):
    """Return a line of the table."""
    model = random_model(name, size)
    images = np.random.default_rng(1).random((2, size, size, 3), dtype=np.float32)
    start = time.perf_counter()
    rate_form = ncam.convert(model, neurons=None)
    logits = ncam.spiking_cam(rate_form, images, n_steps=1, progress_bar=False).logits.values[:, 0]
    expected = model(images, training=False).numpy()
    difference = np.abs(logits - expected).max() / np.ptp(expected)
    spiking_form = ncam.convert(model, calibrate_on=images)
    converted = time.perf_counter() - start
    start = time.perf_counter()
    spiking = ncam.spiking_cam(spiking_form, images, n_steps=n_steps, count_spikes=True, progress_bar=False)
    ran = time.perf_counter() - start
    kinds = sorted({type(rate_form.converter.model.get_layer(node)).__name__ for node in spiking_form.tensor_nodes})
    nodes = f"{len(spiking_form.tensor_nodes)} {', '.join(kinds)}".strip()
    spikes = float(spiking.spike_count.sum()) / len(images)
    return (
        f"| {name} | {spiking_form.n_neurons:,} | {nodes} | {difference:.1e} | "
        f"{ncam.completeness_error(spiking):.1e} | {spikes / 1e6:.2f} M | {converted:.0f} | {ran:.0f} |"
    )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--size", type=int, default=96, help="pixels of a side")
    parser.add_argument("--steps", type=int, default=50, help="time steps of 1 ms")
    args = parser.parse_args()
    # Max pooling is named once below, not in a warning for each network.
    warnings.simplefilter("ignore")
    print("| Network | neurons | TensorNodes | logits | completeness | spikes per image | converted [s] | ran [s] |")
    print("|---|---|---|---|---|---|---|---|")
    for name in args.only:
        print(measure(name, args.size, args.steps), flush=True)


if __name__ == "__main__":
    main()
