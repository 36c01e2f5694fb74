"""What became of each layer of a model, in a table with warnings in words."""

from __future__ import annotations

import dataclasses
import html
import itertools
import re
import textwrap
from typing import TYPE_CHECKING, Any

import nengo
import numpy as np
import xarray as xr

from .. import compat
from ..checks.parameters import number_twins
from ..models.outputs import activation_name
from ..models.simplify import max_value_of
from ..neurons.spikes import spike_code
from .choosing import count_rectified, why_not_carried
from .layer_weights import further_connections

if TYPE_CHECKING:
    from .network import CAMNetwork

__all__ = [
    "LayerPart",
    "Report",
    "call_name",
    "layer_parts",
    "network_report",
    "non_spiking_layers",
    "spiked_tensor_nodes",
]

# A terminal of 120 columns, with the bullets of warnings and the frame of a notebook's cell.
_TEXT_WIDTH = 110
_DASH = "-"


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column of a table: variable of the Dataset, two lines of heading, and how a value is written."""

    variable: str
    heading: str
    unit: str
    write: Any

    @property
    def is_text(self):
        return self.write is str


def _number(form, factor=1):
    """Write numbers, and a dash where there is none."""
    return lambda value: format(float(value) * factor, form) if np.isfinite(value) else _DASH


_STRUCTURE = (
    _Column("layer", "layer", "", str),
    _Column("kind", "Keras layer", "", str),
    _Column("became", "became", "", str),
    _Column("neuron_type", "neuron type", "", str),
    _Column("spiking", "spikes", "", lambda value: "yes" if value else "no"),
    _Column("neurons", "neurons", "", lambda value: format(int(value), ",") if value else _DASH),
    _Column("scale", "scale", "[Hz/unit]", _number(".4g")),
    _Column("balanced", "channels", "", lambda value: "balanced" if value else _DASH),
)
_ACTIVITY = (
    _Column("layer", "layer", "", str),
    _Column("mean_rate", "mean", "[Hz]", _number(".1f")),
    _Column("rate_99", "99th perc.", "[Hz]", _number(".1f")),
    _Column("max_rate", "maximum", "[Hz]", _number(".1f")),
    _Column("silent_fraction", "silent", "[% of neurons]", _number(".1f", 100)),
    _Column("silent_fraction_cnn", "zero in CNN", "[% of neurons]", _number(".1f", 100)),
    _Column("saturated_fraction", "several at once", "[% of spiking steps]", _number(".2f", 100)),
    _Column("spikes_per_image", "spikes", "[per image]", _number(",.0f")),
    _Column("correlation", "correlation", "with CNN", _number(".3f")),
)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What became of each layer, and what it did if it was run; prints as tables.

    Made by `CAMNetwork.report` and `nengo_cam.measure_activity`. *Native* layers are made of Nengo's own objects: of
    neurons, or of a node and its connections, which is linear. A *TensorNode* runs in TensorFlow.

    Attributes
    ----------
    dataset : xarray.Dataset
        One row per layer of the source model (dim ``layer``), in the order in which they run, or per object of a
        network that was built by hand: ``kind``, the class, and ``activation`` in Keras, ``became``, ``neuron_type``,
        ``spiking``, ``neurons`` (number), ``scale`` [Hz per unit of activity; NaN without neurons that have one] and
        ``balanced``, whether channels have factors of their own besides. A layer that is called again has a number
        behind its name. ``attrs`` hold the provenance and the warnings, so that a saved Dataset makes the same report
        again.
    """

    dataset: xr.Dataset

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that say what may be wrong and what to do about it, as a tuple."""
        return tuple(self.dataset.attrs["warnings"].splitlines())

    @property
    def title(self) -> str:
        """One line: how much of the network spikes."""
        data = self.dataset
        n_spiking, n_neurons = int(data.spiking.sum()), int(data.neurons.sum())
        n_of_them = int(data.neurons.where(data.spiking, 0).sum())
        return (
            f"Network of model {data.attrs['model']!r}: {n_spiking} of {data.sizes['layer']} layers spike, with "
            f"{n_of_them:,} of {n_neurons:,} neurons"
        )

    @property
    def exactness(self) -> str:
        """One line: what rewriting the model before conversion changed in features and logits; empty without any."""
        attrs = self.dataset.attrs
        steps = {"simplified": "simplified", "scaled": "scaled by channel"}
        changes = [
            f"{attrs[key]:.1e} when {words}" for how, words in steps.items() if (key := _difference(how)) in attrs
        ]
        return f"Largest relative change of features and logits: {', '.join(changes)}" if changes else ""

    @property
    def chosen(self) -> str:
        """One line: which neurons were chosen for the model, and why; empty if they were given."""
        return str(self.dataset.attrs.get("chosen", ""))

    def tables(self) -> list[tuple[str, list, list]]:
        """Write the tables.

        Returns
        -------
        list of (str, list of list of str, list of bool)
            For each table its title, its lines, the first two of them headings, and whether each column is text.
        """
        made = [(self.title, *_cells(self.dataset, _STRUCTURE))]
        if "mean_rate" in self.dataset:
            attrs, spiking = self.dataset.attrs, self.dataset.isel(layer=self.dataset.spiking.values)
            images = f"{attrs['n_images']} image{'s' if attrs['n_images'] > 1 else ''}"
            steps = f"{attrs['n_steps']} steps of {attrs['dt']:g} s on {attrs['simulator']}"
            made.append((f"Activity of the layers that spike: {images}, {steps}", *_cells(spiking, _ACTIVITY)))
        return made

    @property
    def _neurons(self):
        return f"Neurons {self.chosen}" if self.chosen else ""

    def __str__(self):
        lines = []
        for title, cells, is_text in self.tables():
            widths = [max(map(len, column)) for column in zip(*cells)]
            lines += [title, ""]
            for row in cells:
                padded = (
                    cell.ljust(width) if text else cell.rjust(width) for cell, width, text in zip(row, widths, is_text)
                )
                lines.append(f"  {'  '.join(padded)}".rstrip())
            lines.append("")
        chosen = textwrap.wrap(self._neurons, _TEXT_WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        said = [*filter(None, [self.exactness]), *chosen]
        lines += [*said, ""] if said else []
        lines.append("Warnings" if self.warnings else "No warnings")
        for sentence in self.warnings:
            lines += textwrap.wrap(
                sentence, _TEXT_WIDTH, initial_indent="  * ", subsequent_indent="    ", break_on_hyphens=False
            )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        parts = []
        for title, cells, is_text in self.tables():
            aligned = [f' style="text-align: {"left" if text else "right"}"' for text in is_text]
            rows = []
            for i, row in enumerate(cells):
                tag = "th" if i < 2 else "td"
                rows.append("".join(f"<{tag}{how}>{html.escape(cell)}</{tag}>" for cell, how in zip(row, aligned)))
            body = "".join(f"<tr>{row}</tr>" for row in rows)
            parts.append(f"<p><b>{html.escape(title)}</b></p><table>{body}</table>")
        parts += [f"<p>{html.escape(line)}</p>" for line in (self.exactness, self._neurons) if line]
        sentences = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.warnings)
        parts.append(f"<p><b>Warnings</b></p><ul>{sentences}</ul>" if sentences else "<p>No warnings</p>")
        return "".join(parts)


@dataclasses.dataclass(frozen=True, eq=False)
class LayerPart:
    """One call of a layer of the source model, and what stands for it in the network.

    Attributes
    ----------
    name : str
        Name of the layer, a number behind it if it is called again.
    kind, activation : str
        Class of the Keras layer, and its activation; empty if it has none or a linear one.
    layer : tf.keras.layers.Layer or None
        The layer of the reduced model; None if it was left out.
    tensor : symbolic tensor or None
        Its output in the reduced model.
    obj : nengo.Node, nengo_dl.TensorNode, nengo.ensemble.Neurons or None
        What gives this output in the network.
    became : str
        The same in words.
    """

    name: str
    kind: str
    activation: str
    layer: Any
    tensor: Any
    obj: Any
    became: str

    @property
    def ensemble(self) -> nengo.Ensemble | None:
        """The ensemble, or None if there are no neurons."""
        return self.obj.ensemble if isinstance(self.obj, nengo.ensemble.Neurons) else None

    @property
    def spiking(self) -> bool:
        """Whether it spikes."""
        return self.ensemble is not None and self.ensemble.neuron_type.spiking


def call_name(label: str) -> str:
    """Name a layer call by the label that NengoDL gives it: the layer, and which call of it if not the first."""
    return re.sub(r"\.0$", "", label)


def layer_parts(net: CAMNetwork) -> list[LayerPart]:
    """List what became of every layer call of the source model.

    Parameters
    ----------
    net : CAMNetwork
        The converted network.

    Returns
    -------
    list of LayerPart
        The input, then the calls in the order in which they run.
    """
    if not net.has_cnn:
        return _native_parts(net)
    flat, head, reduced = net.source.flat, net.source.calls, net.reduced
    (input_key,) = flat.input_shapes
    (image,) = reduced.model.inputs
    parts = [LayerPart(flat.input_names[input_key], "InputLayer", "", None, image, net.input, "input")]
    taken = {parts[0].name, *reduced.successors.values()}
    for number, (call, fate) in enumerate(zip(flat.calls, reduced.fates)):
        layer = tensor = obj = None
        if number in reduced.successors:
            name = reduced.successors[number]
            layer, tensor, obj = reduced.layer(name), reduced.output(name), net.objects[name]
        else:
            name = next(free for free in _numbered(call.name) if free not in taken)
            taken.add(name)
            # A network that was there before has layers that `reduced` is without, such as Dropout.
            obj = net.objects.get(name) if net.adopted else None
        # What became of it in `reduced` is not what became of it in a network that was there before.
        fate_in_words = "" if net.adopted and obj is not None else fate.words
        became = ", ".join(filter(None, (_in_words(obj, call, head), fate_in_words)))
        parts.append(LayerPart(name, call.kind, _activation(call.layer), layer, tensor, obj, became))
    return parts


def _native_parts(net):
    """List the objects of a network that was built by hand: there are no layers that they came from."""
    nengo_dl, output = compat.import_nengo_dl(), net.readout.post_obj
    # In the order of `CAMNetwork.tensor_nodes`.
    tensor_nodes = [node for node in net.net.all_nodes if isinstance(node, nengo_dl.TensorNode)]
    objects = [
        *((name, ensemble.neurons) for name, ensemble in net.neuron_layers.items()),
        *zip(net.tensor_nodes, tensor_nodes),
        *([(net.head.readout, output)] if type(output) is nengo.Node else []),
    ]
    names = number_twins([net.input.label or "input", *(name for name, _ in objects)])
    kinds = ["Node", *(_kind(obj) for _, obj in objects)]
    became = ["input", *(_in_words(obj, None, net.head) for _, obj in objects)]
    found = [net.input, *(obj for _, obj in objects)]
    return [LayerPart(*row[:2], "", None, None, *row[2:]) for row in zip(names, kinds, found, became)]


def _kind(obj):
    """Name the class of an object, of a TensorNode the Keras layer in it."""
    if isinstance(obj, nengo.ensemble.Neurons):
        return "Ensemble"
    function = getattr(obj, "tensor_func", None)
    return type(obj).__name__ if not isinstance(obj, compat.import_nengo_dl().TensorNode) else type(function).__name__


def non_spiking_layers(net: CAMNetwork) -> list[str]:
    """Name the layers that apply a nonlinearity without spikes.

    Parameters
    ----------
    net : CAMNetwork
        The converted network.

    Returns
    -------
    list of str
        Layers of rate neurons, and nonlinear ones that only TensorFlow can run.
    """
    nengo_dl = compat.import_nengo_dl()

    def stays(part):
        # What the reduced model is without does nothing at inference, or follows the logits.
        if part.layer is None:
            return False
        if isinstance(part.obj, nengo_dl.TensorNode):
            return not _is_linear(part.layer)
        return part.ensemble is not None and not part.spiking

    return [part.name for part in layer_parts(net) if stays(part)]


def spiked_tensor_nodes(net: CAMNetwork) -> list[str]:
    """Name the layers that run as TensorNodes and are given single spikes instead of activity.

    Parameters
    ----------
    net : CAMNetwork
        The converted network.

    Returns
    -------
    list of str
        None if a synapse filters the spikes, or if all neurons that spike have their level held, which is activity.
    """
    codes = [spike_code(ensemble.neuron_type, 1.0) for ensemble in net.spiking_layers.values()]
    if not net.has_cnn or net.synapse is not None or all(code is None or code.held for code in codes):
        return []
    # Those that only training needs, and a softmax behind the logits, see no spikes that matter.
    return [name for name in net.tensor_nodes if name in net.reduced.flat.call_names]


def network_report(net: CAMNetwork) -> Report:
    """Report what became of each layer; the working part of `CAMNetwork.report`.

    Parameters
    ----------
    net : CAMNetwork
        The converted network.

    Returns
    -------
    Report
        The report; nothing is run for it.
    """
    parts = layer_parts(net)
    neuron_types = [part.ensemble.neuron_type if part.ensemble is not None else None for part in parts]
    columns = {
        "kind": ("class of the Keras layer", [part.kind for part in parts]),
        "activation": ("activation of the Keras layer", [part.activation for part in parts]),
        "became": ("what it became", [part.became for part in parts]),
        "neuron_type": ("type of its neurons", [type(kind).__name__ if kind else "" for kind in neuron_types]),
        "spiking": ("whether it spikes", [part.spiking for part in parts]),
        "neurons": ("number of neurons", [part.ensemble.n_neurons if part.ensemble else 0 for part in parts]),
        "scale": ("firing rate per unit of activity", [_scale(net, part) for part in parts]),
        "balanced": ("whether channels have factors besides", [_balanced(net, part) for part in parts]),
    }
    variables = {name: ("layer", np.array(values), {"long_name": what}) for name, (what, values) in columns.items()}
    variables["scale"][2]["units"] = "Hz per unit of activity"
    attrs = {
        "model": net.head.model,
        "head": str(net.head),
        "synapse": str(net.synapse),
        **({"chosen": net.choice} if net.choice else {}),
        **{_difference(how): value for how, value in net.largest_differences.items()},
        "warnings": "\n".join(_warn_of_structure(net)),
        **compat.package_versions(),
    }
    return Report(xr.Dataset(variables, {"layer": [part.name for part in parts]}, attrs))


def _difference(how):
    """Name the attribute that holds what a step of rewriting changed."""
    return f"largest_difference_{how}"


def _warn_of_structure(net):
    """Say what of the network does not spike, and what does not run everywhere."""
    if net.has_cnn:
        yield from _warn_of_layers(net)
    if net.tensor_nodes:
        names = ", ".join(map(repr, net.tensor_nodes))
        single = spiked_tensor_nodes(net)
        yield (
            f"TensorNodes, which run in TensorFlow: {names}. "
            f"{'They see single spikes: pass synapse=0.005. ' if single else ''}For nengo.Simulator or neuromorphic "
            "hardware, replace them by layers that become native."
        )


def _warn_of_layers(net):
    """Say which nonlinearities of a model do not spike."""
    asked = net.neurons is not None and net.neurons.spiking
    names = ", ".join(map(repr, non_spiking_layers(net)))
    if not asked and not net.spiking:
        own = "Pass swap_activations with spiking neurons to nengo_dl.Converter"
        remedy = own if net.adopted else "Convert the model with neurons='auto'"
        unmatched = _spiking_swaps(net) if net.adopted else []
        if unmatched:
            # Keras has several functions of this name, and NengoDL compares by identity.
            yield (
                f"Nothing spikes: swap_activations puts spiking neurons in the place of {', '.join(unmatched)}, which "
                f"no layer of the model has. ReLU became {_rectified_became(net)}. Put them in the place of "
                "nengo.RectifiedLinear(), which stands for ReLU however it is written."
            )
        else:
            yield f"Nothing was asked to spike: ReLU became {_rectified_became(net)}. {remedy}."
    elif names:
        yield (
            f"Nonlinear, but without spikes: {names}. Only ReLU, plain or clipped, becomes spiking neurons; train the "
            "model with ReLU and average pooling in their place, or pass swap_activations."
        )
    elif not net.spiking:
        yield "No layer spikes, as none has a ReLU. Train the model with ReLU."
    further = further_connections(net) if net.adopted else {}
    if further:
        yield (
            f"Connections that are not the model's lead into {', '.join(map(repr, further))}: maps and logits take "
            "them in, while the CNN, verify's rate form and replay are without them. Read comparisons accordingly."
        )
    if net.neurons is not None and net.target_rate is not None:
        sentence = why_not_carried(net.neurons, count_rectified(net.reduced), net.target_rate)
        if sentence:
            yield sentence


def _spiking_swaps(net):
    """Name the activations that a user's converter was to put spiking neurons in the place of."""
    swaps = dict(net.converter.swap_activations)
    spiking = [old for old, new in swaps.items() if isinstance(new, nengo.neurons.NeuronType) and new.spiking]
    return [getattr(old, "__name__", None) or repr(old) for old in spiking]


def _rectified_became(net):
    """Say what stands for ReLU in the network."""
    calls = zip(net.reduced.flat.call_names, net.reduced.flat.calls)
    kinds = {_kind_in_words(net.objects[name]) for name, call in calls if max_value_of(call.layer) is not None}
    return " and ".join(sorted(kinds)) or "rectified-linear rate neurons"


def _kind_in_words(obj):
    if isinstance(obj, nengo.ensemble.Neurons):
        kind = type(obj.ensemble.neuron_type)
        return "rectified-linear rate neurons" if kind is nengo.RectifiedLinear else kind.__name__
    return "TensorNodes" if isinstance(obj, compat.import_nengo_dl().TensorNode) else "nodes without nonlinearity"


def _numbered(name):
    """Give a name, then the name with a number behind it, counting up."""
    yield name
    yield from (f"{name}.{number}" for number in itertools.count(1))


def _activation(layer):
    """Name the activation that a layer has as an option; empty if that is none or linear."""
    name = activation_name(layer) if hasattr(layer, "activation") else "linear"
    return "" if name == "linear" else name


def _in_words(obj, call, head):
    """Say what a layer call became."""
    # What was left out or folded has its fate in words already.
    if obj is None:
        return ""
    if isinstance(obj, nengo.ensemble.Neurons):
        return "native neurons"
    if isinstance(obj, compat.import_nengo_dl().TensorNode):
        return "TensorNode"
    # Only the readout's: its softmax or sigmoid comes after the logits, which are what the network computes.
    dropped = _activation(call.layer) if call is head.readout else ""
    return f"native node, no {dropped}" if dropped else "native node"


def _is_linear(layer):
    """Tell whether a layer has no nonlinearity that could spike."""
    if type(layer).__name__ in ("AveragePooling2D", "Cropping2D", "Permute", "Rescaling", "UpSampling2D"):
        return True
    return getattr(getattr(layer, "activation", None), "__name__", None) == "linear"


def _scale(net, part):
    """Return the firing rate per unit of activity [Hz], NaN for what has no amplitude to scale back."""
    # Neurons behind the logits, in a network that was there before, stand for no layer of `reduced`.
    if part.layer is None or part.ensemble is None or not hasattr(part.ensemble.neuron_type, "amplitude"):
        return np.nan
    return float(net.firing_rate_scales.get(part.layer.name, 1.0))


def _balanced(net, part):
    return part.layer is not None and bool(np.any(net.channel_factors.get(part.layer.name, 1.0) != 1.0))


def _cells(data, columns):
    """Write a table as text: two lines of headings, then a line for each layer."""
    values = {name: data[name].values.tolist() for name in data.variables}
    values["kind"] = [", ".join(filter(None, both)) for both in zip(values["kind"], values["activation"])]
    values["neuron_type"] = [kind or _DASH for kind in values["neuron_type"]]
    body = zip(*([column.write(value) for value in values[column.variable]] for column in columns))
    headings = [[column.heading for column in columns], [column.unit for column in columns]]
    return [*headings, *map(list, body)], [column.is_text for column in columns]
