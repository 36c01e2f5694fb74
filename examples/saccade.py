"""Let a gaze move to where a spiking network sees a digit: Nengo objects react to the network's own map.

Scenes of scattered digits, and for each the label of one of its digits. The network sees the scene around the gaze. Its
map of that label, a node of the network (`nengo_cam.cam_node`), pulls the gaze towards its strongest place, which
changes what the network sees. The gaze has found the digit if it is within the digit's box for the last third of the
time. Takes one to two minutes for 100 scenes.

    python examples/saccade.py
    python examples/saccade.py --scenes 8 --figure paths.png --film saccade.gif
    python examples/saccade.py --size 96 --digits 3 --clutter 10
"""

import argparse
import sys

import nengo
import numpy as np
from scipy.ndimage import uniform_filter

import nengo_cam as ncam

ncam.compat.quiet_tensorflow()

#: Time constant of the filter on the map, and of the gaze that keeps its place [s].
SYNAPSE, TAU = 0.01, 0.02
#: How fast the gaze moves [1/s]: after 1 / SPEED the way to the digit is a third as long.
SPEED = 20
#: Steps from one frame of the film to the next, and from one map that is kept.
STRIDE = 4


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100, help="number of scenes, all at once (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=240, help="time steps of 1 ms (default: %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="height and width of the scenes [pixel] (%(default)s)")
    parser.add_argument("--digits", type=int, default=2, help="digits in each scene (default: %(default)s)")
    parser.add_argument("--clutter", type=int, default=6, help="distractors in each scene (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the scenes (default: %(default)s)")
    parser.add_argument("--figure", metavar="FILE", help="picture of the first gazes to write")
    parser.add_argument("--film", metavar="FILE", help="film of the first gaze to write, .gif")
    return parser.parse_args(arguments)


class Eye:
    """A network that sees a scene through a window, with a gaze that its own map moves.

    No function here remembers anything, so that a minibatch holds many scenes: what remembers is the gaze, a Nengo
    node that is connected to itself.

    Parameters
    ----------
    size : int
        Height and width of the scenes [pixel].
    """

    def __init__(self, size):
        self.size = size
        model = ncam.datasets.scattered_digits_model()
        calibration, _, _ = ncam.datasets.scattered_digits(40, split="train", seed=1)
        # Whatever is in front of a gaze moves: spikes of one size would go on telling of what was there before.
        self.cnn = ncam.convert(model, neurons=ncam.SigmaDelta(), calibrate_on=calibration)
        self.window = self.cnn.head.input_shape[0]
        self.cam = ncam.cam_node(self.cnn, synapse=SYNAPSE)
        n_labels, input_size = self.cam.shape[0], self.cnn.input.size_out
        # From the middle of the window to the centers of the cells [pixel].
        self.ways = [centers - (self.window - 1) / 2 for centers in self.cam.centers]

        # The image comes from the eye now, and not from outside.
        self.cnn.input.size_in, self.cnn.input.size_out = input_size, None
        self.cnn.input.output = None
        with self.cnn.net:
            self.scene = nengo.Node(np.zeros(size * size))
            self.wanted = nengo.Node(np.zeros(n_labels))
            gaze = nengo.Node(size_in=2)
            view = nengo.Node(
                lambda t, x: self.look(x[2:], x[:2]).ravel(), size_in=2 + size * size, size_out=input_size
            )
            pull = nengo.Node(lambda t, x: self.way(x[n_labels:], x[:n_labels]), size_in=n_labels + self.cam.size_out)
            nengo.Connection(gaze, view[:2], synapse=None)
            nengo.Connection(self.scene, view[2:], synapse=None)
            nengo.Connection(view, self.cnn.input, synapse=None)
            nengo.Connection(self.wanted, pull[:n_labels], synapse=None)
            nengo.Connection(self.cam, pull[n_labels:], synapse=None)
            # The gaze keeps its place, but for what pulls it.
            nengo.Connection(gaze, gaze, synapse=TAU)
            nengo.Connection(pull, gaze, synapse=TAU, transform=TAU * SPEED)
            self.gaze = nengo.Probe(gaze)
            self.maps = nengo.Probe(self.cam, sample_every=STRIDE / 1000)

    def look(self, scene, gaze):
        """Cut the window around a gaze out of a scene; beyond the scene all is black."""
        row, column = np.clip(np.round(gaze + self.size / 2), 0, self.size).astype(int)
        around = np.pad(scene.reshape(self.size, self.size), self.window // 2)
        return around[row : row + self.window, column : column + self.window]

    def way(self, output, wanted):
        """Find the way from the middle of the window to where the map of a label is strongest [pixel]."""
        # A digit covers some 3 x 3 cells, which a line that happens to look alike does not.
        strength = uniform_filter(self.cam.maps(output)[wanted.argmax()], 3, mode="constant").clip(0)
        row, column = np.unravel_index(strength.argmax(), strength.shape)
        near = np.pad(strength, 1)[row : row + 3, column : column + 3]
        if not near.any():
            return [0, 0]
        # A cell is four pixels wide; where the weight of those around lies is a finer aim.
        places = row + near.sum(axis=1) @ [-1, 0, 1] / near.sum(), column + near.sum(axis=0) @ [-1, 0, 1] / near.sum()
        return [np.interp(place, np.arange(len(ways)), ways) for place, ways in zip(places, self.ways)]

    def run(self, scenes, labels, n_steps):
        """Run scenes, all at once.

        Parameters
        ----------
        scenes : ndarray of shape (N, size, size, 1)
            Scenes.
        labels : ndarray of int of shape (N,)
            Which digit to look for in each.
        n_steps : int
            Time steps.

        Returns
        -------
        gazes : ndarray of shape (N, n_steps, 2)
            Rows and columns of the gazes [pixel]; they begin in the middle.
        maps : ndarray of shape (N, n_steps // STRIDE, Y, X)
            Maps of these labels, every `STRIDE` steps [logit].
        """
        # A simulator that steps: here each step needs the one before.
        nengo_dl = ncam.compat.import_nengo_dl()
        data = {
            self.scene: np.repeat(scenes.reshape(len(scenes), 1, -1), n_steps, axis=1),
            self.wanted: np.repeat(np.eye(self.cam.shape[0])[labels][:, None], n_steps, axis=1),
        }
        with (
            ncam.compat.without_gpu_advice(),
            nengo_dl.Simulator(self.cnn.net, minibatch_size=len(scenes), progress_bar=False, seed=0) as sim,
        ):
            sim.run_steps(n_steps, data=data)
            maps = self.cam.maps(sim.data[self.maps])
            return sim.data[self.gaze] + (self.size - 1) / 2, maps[np.arange(len(labels)), :, labels]


def inside(gazes, boxes):
    """Tell which gazes (N, T, 2) are in boxes (N, 4), at every step."""
    pixels = np.round(gazes)
    return np.all((boxes[:, None, :2] <= pixels) & (pixels < boxes[:, None, 2:]), axis=-1)


def rests(gazes, boxes):
    """Tell which gazes (N, T, 2) have found their boxes (N, 4): they are inside for the last third of the time."""
    return inside(gazes, boxes)[:, -(gazes.shape[1] // 3) :].all(axis=1)


def draw_paths(axes, scenes, labels, boxes, gazes):
    """Draw the ways of gazes over their scenes, one in each of the axes."""
    from matplotlib.patches import Rectangle

    for ax, scene, label, (y0, x0, y1, x1), gaze in zip(axes, scenes, labels, boxes, gazes):
        ax.imshow(scene[..., 0], cmap="gray")
        ax.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor="tab:orange"))
        ax.plot(gaze[:, 1], gaze[:, 0], color="tab:cyan")
        ax.plot(*gaze[-1, ::-1], "o", color="tab:cyan", markersize=5)
        ax.set_title(f"looks for {label}")
        ax.set_axis_off()


def save_figure(path, scenes, labels, boxes, gazes):
    """Write a picture of the first four gazes."""
    from matplotlib.figure import Figure

    n = min(4, len(scenes))
    figure = Figure(figsize=(2.4 * n, 2.7), layout="constrained")
    draw_paths(np.ravel(figure.subplots(1, n)), scenes, labels, boxes, gazes)
    figure.savefig(path, dpi=100)


def save_film(path, eye, scene, label, box, gaze, maps):
    """Write a film of a gaze: on its scene, and what the network sees then, with its map."""
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(5, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_paths([left], [scene], [label], [box], [gaze[:1]])
    (path_line, point), half = left.lines, eye.window / 2
    border = left.add_patch(Rectangle((0, 0), eye.window, eye.window, fill=False, edgecolor="tab:cyan", linestyle=":"))
    left.set(xlim=(-0.5, eye.size - 0.5), ylim=(eye.size - 0.5, -0.5))
    middle = (eye.size - 1) / 2
    seen = right.imshow(eye.look(scene[..., 0], gaze[0] - middle), cmap="gray", vmin=0, vmax=1)
    limit = np.abs(maps).max()
    edges = (-0.5, eye.window - 0.5, eye.window - 0.5, -0.5)
    cam = right.imshow(maps[0], cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.5, extent=edges)
    right.plot(half - 0.5, half - 0.5, "+", color="tab:cyan")
    right.set_axis_off()

    def show(frame):
        step = STRIDE * (frame + 1) - 1
        path_line.set_data(gaze[: step + 1, 1], gaze[: step + 1, 0])
        point.set_data(gaze[step : step + 1, 1], gaze[step : step + 1, 0])
        border.set_xy(gaze[step, ::-1] - half)
        seen.set_data(eye.look(scene[..., 0], gaze[step] - middle))
        cam.set_data(maps[frame])
        right.set_title(f"sees, at {step + 1} ms")

    FuncAnimation(figure, show, frames=len(maps)).save(path, PillowWriter(fps=15), dpi=80)


def main(arguments=None):
    """Run, and say how many gazes have found their digit."""
    options = parse(arguments)
    try:
        scenes, labels, boxes = ncam.datasets.scattered_digits(
            options.scenes,
            size=options.size,
            digits_per_image=options.digits,
            clutter=options.clutter,
            seed=options.seed,
        )
        eye = Eye(options.size)
    except ncam.CAMError as err:
        sys.exit(f"saccade: {err}")
    # The first digit of each scene; which one that is was drawn.
    labels, own = labels[:, 0], boxes[:, 0]
    gazes, maps = eye.run(scenes, labels, options.steps)
    found = rests(gazes, own)
    others = np.any([rests(gazes, boxes[:, other]) for other in range(1, options.digits)] or [[False]], axis=0)
    began = inside(gazes[:, :1], own).sum()
    print(
        f"{found.sum()} of {len(found)} gazes rest on the digit of their label, {others.sum()} on another digit; "
        f"{began} began on theirs"
    )
    if options.figure:
        save_figure(options.figure, scenes, labels, own, gazes)
    if options.film:
        save_film(options.film, eye, scenes[0], labels[0], own[0], gazes[0], maps[0])


if __name__ == "__main__":
    main()
