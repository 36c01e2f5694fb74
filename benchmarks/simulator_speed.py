"""Speed of nengo_cam.simulator.Simulator beside that of nengo_dl.Simulator and of the Keras model itself.

Prints medians of ratios; both sides of a ratio run in turn, in one process, so that a busy machine slows both.

    python benchmarks/simulator_speed.py            # all
    python benchmarks/simulator_speed.py mnist      # one of: mnist, conversion, single, linear

mnist
    Five convolutions (16-16-16-16-256 channels) on 28 x 28, global average pooling; 4 images, 50 steps, features
    probed. Cold includes building the simulator. Keras predicts 4 x 50 frames. The network is converted twice: by
    nengo_dl.Converter alone, and by nengo_cam.convert, whose pooling and biases are less work for NengoDL, too.
conversion
    The conversion example of SpikingJelly: three times convolution (64), BatchNorm, ReLU, average pooling; dense 512;
    dense 1000, on 32 x 32 x 3; 16 images, 16 steps.
single
    Convolutions with 32 and 64 channels and stride 2, global average pooling; one image, 100 steps.
linear
    Time per step for 1000 steps over that for 100, and time per image for 64 images over that for 4, on the first net.
"""

import argparse
import statistics
import time

import nengo
import numpy as np

import nengo_cam as ncam
from nengo_cam.simulator import Simulator

ncam.compat.quiet_tensorflow()
tf = ncam.compat.import_tensorflow()
nengo_dl = ncam.compat.import_nengo_dl()
layers = tf.keras.layers


def mnist_model():
    """Build the net that most figures are about; random weights do."""
    x = inputs = tf.keras.Input((28, 28, 1))
    for channels in (16, 16, 16, 16, 256):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
    x = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return tf.keras.Model(inputs, x)


def conversion_model():
    """Build SpikingJelly's conversion example."""
    x = inputs = tf.keras.Input((32, 32, 3))
    for _ in range(3):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(64, 3, padding="same")(x)))
        x = layers.AveragePooling2D(2)(x)
    x = layers.Dense(1000)(layers.Dense(512, activation="relu")(layers.Flatten()(x)))
    return tf.keras.Model(inputs, x)


def single_model():
    """Build the small net of the documentation's examples."""
    x = inputs = tf.keras.Input((28, 28, 1))
    x = layers.Conv2D(32, 3, strides=2, activation="relu")(x)
    x = layers.Conv2D(64, 3, strides=2, activation="relu")(x)
    return tf.keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


class Case:
    """A converted net, images, and ways to run them."""

    def __init__(self, model, n_images, n_steps, probe_features=False, own_converters=True):
        tf.keras.utils.set_random_seed(0)
        self.model, self.n_images, self.n_steps = model, n_images, n_steps
        shape = model.input_shape[1:]
        self.images = np.random.default_rng(0).random((n_images, *shape), dtype=np.float32)
        rates, features = 200, None
        if probe_features:
            net = ncam.convert(model, calibrate_on=self.images)
            self.net, self.input = net.net, net.input
            # The same network by NengoDL's converters: the same weights, scales and neurons.
            model, rates = net.converter.model, net.firing_rate_scales
            rates = {model.get_layer(name): rate for name, rate in rates.items()}
            features = model.get_layer(net.head.pooling).input
        if not (probe_features and own_converters):
            converter = nengo_dl.Converter(
                model,
                swap_activations={nengo.RectifiedLinear(): ncam.IntegrateAndFire()},
                scale_firing_rates=rates,
                inference_only=True,
            )
            self.net, (self.input,) = converter.net, converter.inputs.values()
            if probe_features:
                with self.net:
                    nengo.Probe(converter.layers[features])
        self.net.seed = 0
        self.flat = self.images.reshape(n_images, 1, -1)

    def build_ours(self):
        """Make our simulator."""
        return Simulator(self.net, minibatch_size=self.n_images, progress_bar=False)

    def run_ours(self, sim):
        """Run and record, from the initial state."""
        sim.reset()
        sim.run_steps(self.n_steps, data={self.input: self.flat})

    def stream_ours(self, sim):
        """Run without recording, as spiking_cam does."""
        sim.reset()
        for _ in sim.iter_steps(self.n_steps, {self.input: self.flat}):
            pass

    def build_nengo_dl(self):
        """Make NengoDL's simulator."""
        with ncam.compat.without_gpu_advice():
            return nengo_dl.Simulator(self.net, minibatch_size=self.n_images, progress_bar=False)

    def run_nengo_dl(self, sim):
        """Run, from the initial state."""
        sim.predict_on_batch({self.input: np.repeat(self.flat, self.n_steps, axis=1)})

    def predict(self):
        """Run the Keras model on as many frames."""
        frames = np.repeat(self.images, self.n_steps, axis=0)
        self.model.predict(frames, verbose=0)


def seconds(function, *args):
    """Time one call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def ratios(numerator, denominator, repeats):
    """Median of the ratio of two calls that run in turn, both warmed up."""
    numerator(), denominator()
    return statistics.median(seconds(numerator) / seconds(denominator) for _ in range(repeats))


def report(what, value, goal):
    """Print one line."""
    print(f"{what:62s} {value:7.2f}   (goal {goal})", flush=True)


def compare_with_nengo_dl(name, case, repeats, warm_goal, cold_goal=None):
    """Print the ratios of NengoDL's time to ours, cold and warm; return both simulators."""
    start = time.perf_counter()
    ours = case.build_ours()
    case.run_ours(ours)
    cold = time.perf_counter() - start
    start = time.perf_counter()
    theirs = case.build_nengo_dl()
    case.run_nengo_dl(theirs)
    if cold_goal:
        report(f"{name}: NengoDL / ours, cold", (time.perf_counter() - start) / cold, cold_goal)
    value = ratios(lambda: case.run_nengo_dl(theirs), lambda: case.run_ours(ours), repeats)
    report(f"{name}: NengoDL / ours, warm", value, warm_goal)
    theirs.close()
    return ours


def mnist(repeats):
    """Run case a."""
    case = Case(mnist_model(), 4, 50, probe_features=True, own_converters=False)
    compare_with_nengo_dl("mnist by nengo_dl.Converter", case, repeats, ">= 10", ">= 5").close()
    case = Case(mnist_model(), 4, 50, probe_features=True)
    case.predict()
    ours = compare_with_nengo_dl("mnist by nengo_cam.convert", case, repeats, "none", "none")
    for label, run in (("recorded", case.run_ours), ("streamed", case.stream_ours)):
        value = ratios(lambda run=run: run(ours), case.predict, 3 * repeats)
        report(f"mnist: ours, {label} / keras.predict", value, "<= 1.2")
    ours.close()


def conversion(repeats):
    """Run case b."""
    compare_with_nengo_dl("conversion", Case(conversion_model(), 16, 16), repeats, ">= 25").close()


def single(repeats):
    """Run case c."""
    compare_with_nengo_dl("single", Case(single_model(), 1, 100), repeats, ">= 8").close()


def linear(repeats):
    """Run case e."""
    model = mnist_model()

    def streamed(n_images, n_steps):
        case = Case(model, n_images, n_steps, probe_features=True)
        sim = case.build_ours()
        return lambda: case.stream_ours(sim)

    report(
        "linear: time per step, 1000 / 100 steps", ratios(streamed(4, 1000), streamed(4, 100), repeats) / 10, "<= 1.1"
    )
    report("linear: time per image, 64 / 4 images", ratios(streamed(64, 50), streamed(4, 50), repeats) / 16, "<= 1")


CASES = {"mnist": mnist, "conversion": conversion, "single": single, "linear": linear}


def main():
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"any of {', '.join(CASES)}")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for name in args.cases or CASES:
        CASES[name](args.repeats)


if __name__ == "__main__":
    main()
