"""From the layer calls of a model to the steps of its `inference_model`, and what became of each call."""

from __future__ import annotations

import collections
import dataclasses

from ... import compat
from ..graph import FlatModel, Ref
from ..head import INFERENCE_IDENTITIES, HeadCalls
from .channels import channels_last
from .folding import fold
from .splitting import drop_identities, split_layers
from .steps import Step, Steps, step_of

__all__ = ["Fate", "Rewriting", "rewrite"]


@dataclasses.dataclass(frozen=True)
class Fate:
    """What became of one layer call.

    Attributes
    ----------
    layers : tuple of str
        Names of the layers that do its work now, the last of which gives its output; empty if it was left out, or if
        another call's layer does its work besides.
    words : str
        The same in words, empty if it is one layer of the same class.
    """

    layers: tuple
    words: str


@dataclasses.dataclass(frozen=True, eq=False)
class Rewriting:
    """The steps of a model that is yet to be made, and what they come from.

    Attributes
    ----------
    inputs : dict
        Shape, batch axis first, and name of each input by key.
    steps : tuple of Step
        The steps.
    features, logits : hashable
        Keys of the pooled features and of the logits.
    fates : tuple of Fate
        What became of each call of the source model.
    """

    inputs: dict
    steps: tuple
    features: object
    logits: object
    fates: tuple

    @property
    def successors(self) -> dict[int, int]:
        """Number of the step that gives the output of each source call; those left out or folded are missing."""
        # Of a call that was split, the last step counts.
        return {step.calls[0]: number for number, step in enumerate(self.steps) if step.calls}


def rewrite(flat: FlatModel, head: HeadCalls, *, fold_layers: bool = True) -> Rewriting:
    """List the steps that a model's `inference_model` is made of.

    Parameters
    ----------
    flat : nengo_cam.models.graph.FlatModel
        The model.
    head : nengo_cam.models.head.HeadCalls
        Its head.
    fold_layers : bool
        Whether layers are split, folded into one another and left out where they have no effect. Otherwise each stays
        what it is, but for those of training and the head.

    Returns
    -------
    Rewriting
        The steps.

    Raises
    ------
    UnsupportedModelError
        If a layer has no configuration, or is a Normalization with statistics that are not by channel.
    """
    names = _names(flat)
    body = _body(flat, head, names)
    # Twice: what stands between a layer and its normalization hides the one from the other, and folding leaves
    # normalizations behind that do nothing any more.
    for change in (drop_identities, channels_last, split_layers, fold, drop_identities) if fold_layers else ():
        body = change(body)
    tail, logits = _tail(flat, head, names, body)
    steps = (*body, *tail)
    inputs = {key: (shape, flat.input_names[key]) for key, shape in flat.input_shapes.items()}
    return Rewriting(inputs, steps, body.result, logits, tuple(_fates(flat, head, steps)))


def _names(flat):
    """Name the layer that each call becomes, if it becomes one.

    Layers that share weights stay one layer. Without weights each call gets a layer of its own, and with it its own
    firing-rate scale.
    """
    names, taken, all_names = {}, set(), {call.name for call in flat.calls}
    for call in flat.calls:
        identity = id(call.layer) if call.layer.weights else id(call)
        if identity not in names and call.kind not in INFERENCE_IDENTITIES:
            name = call.name
            layer, _, number = name.rpartition(".")
            if layer in all_names and number.isdigit():
                # "conv.1" is what the second call of "conv" is called.
                name = f"{layer}_{number}"
            names[identity] = _free_name(name, taken)
            taken.add(names[identity])
    return [names.get(id(call.layer) if call.layer.weights else id(call)) for call in flat.calls]


def _free_name(name, taken):
    """Append a number to a name if another layer has it."""
    suffix, free = 1, name
    while free in taken:
        free = f"{name}_{suffix}"
        suffix += 1
    return free


def _body(flat, head, names):
    """List the steps from the input to the features."""
    in_head = {id(call) for call in head.calls}
    needed = _needed(flat, [head.features])
    aliases, steps = {}, []
    for number, (call, name) in enumerate(zip(flat.calls, names)):
        if number not in needed:
            continue
        if name is None:
            aliases[call.outputs[0]] = call.inputs[0]
        else:
            steps.append(step_of(flat, number, name))
    reserved = frozenset(name for call, name in zip(flat.calls, names) if id(call) in in_head and name is not None)
    return Steps(tuple(steps), flat.input_shapes, head.features, reserved).replaced(steps, aliases)


def _tail(flat, head, names, body):
    """List the steps from the features to the logits, and return the key of these.

    Whatever the head is made of, it becomes the mean over all positions and one Dense layer.
    """
    layers = compat.import_tensorflow().keras.layers
    numbers = {id(call): number for number, call in enumerate(flat.calls)}
    batch, *sizes, n_channels = body.shapes()[body.result]
    pooling, readout = numbers[id(head.pooling)], head.readout
    number = pooling if readout is None else numbers[id(readout)]
    taken = {names[pooling], *(step.name for step in body)}
    dtype = head.pooling.layer.get_config().get("dtype")
    pooled, logits = ("pooled", body.result), ("logits", body.result)
    mean = Step(
        layer_type=getattr(layers, f"GlobalAveragePooling{len(sizes)}D"),
        config={"name": names[pooling], "dtype": dtype},
        weights=(),
        args=(Ref(body.result),),
        kwargs={},
        outputs=(pooled,),
        shapes=((batch, n_channels),),
        calls=(pooling,),
    )
    use_bias = bool(head.bias.any()) or (readout is not None and readout.layer.use_bias)
    folded = [numbers[id(call)] for call in head.folded]
    name = f"{names[pooling]}_readout" if readout is None else names[number]
    # A Dense layer that is called in the body too stays one layer, if it is all that the readout is.
    is_dense = readout is not None and readout.kind == "Dense"
    is_whole = is_dense and not folded and getattr(readout.layer.activation, "__name__", None) == "linear"
    dense = Step(
        layer_type=layers.Dense,
        config={
            "name": name if is_whole else _free_name(name, taken),
            "units": head.kernel.shape[1],
            "use_bias": use_bias,
            "dtype": dtype,
        },
        weights=(head.kernel, head.bias) if use_bias else (head.kernel,),
        args=(Ref(pooled),),
        kwargs={},
        outputs=(logits,),
        shapes=((batch, head.kernel.shape[1]),),
        calls=(number, *folded),
        trainable=readout is None or readout.layer.trainable,
    )
    return (mean, dense), logits


def _needed(flat, keys):
    """Return the numbers of the calls that tensors depend on."""
    keys, numbers = set(keys), set()
    for number in reversed(range(len(flat.calls))):
        call = flat.calls[number]
        if keys.intersection(call.outputs):
            numbers.add(number)
            keys.update(call.inputs)
    return numbers


def _fates(flat, head, steps):
    """Say what became of each call."""
    own, others = collections.defaultdict(dict), {}
    for step in (step for step in steps if step.calls):
        first, *rest = step.calls
        own[first][step.name] = step.layer_type.__name__
        others.update(dict.fromkeys(rest, step.name))
    needed, after = _needed(flat, flat.outputs), {id(call) for call in head.after}
    for number, call in enumerate(flat.calls):
        layers, words = tuple(own[number]), ""
        if len(layers) > 1:
            words = f"split into {' and '.join(map(repr, layers))}"
        elif layers and own[number][layers[0]] != call.kind:
            words = f"written as {own[number][layers[0]]}"
        elif number in others:
            words = f"folded into {others[number]!r}"
        elif not layers and number not in needed:
            words = "left out: not needed"
        elif not layers and id(call) in after:
            words = "left out: after logits"
        elif not layers:
            words = "left out: for training" if call.kind in INFERENCE_IDENTITIES else "left out: no effect"
        yield Fate(layers, words)
