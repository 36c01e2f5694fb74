"""Where class-activation maps are read in a Nengo network: the connections of its head, and probes beside them."""

from __future__ import annotations

from typing import Any

import nengo

from .. import compat
from ..exceptions import UnsupportedModelError
from .layer_weights import bias_source, is_bias

__all__ = ["add_probe", "find_parts", "find_probe"]


def find_parts(net: nengo.Network, name: str, pooling: Any, readout: Any) -> dict[str, Any]:
    """Find the connections of a head, and the probes of features and logits; those that are not there are added.

    Parameters
    ----------
    net : nengo.Network
        The network.
    name : str
        What to call it in errors.
    pooling, readout : nengo.Node or nengo_dl.TensorNode
        What gives out pooled features and logits.

    Returns
    -------
    dict
        ``readout``, ``readout_bias``, ``features`` and ``logits`` of a `nengo_cam.CAMNetwork`.

    Raises
    ------
    UnsupportedModelError
        If the logits are not what the readout gives out, or are not linear in the pooled features at every time step.
    """
    if isinstance(readout, compat.import_nengo_dl().TensorNode) or not isinstance(readout, nengo.Node):
        kind = "a TensorNode" if isinstance(readout, nengo.Node) else "neurons"
        raise UnsupportedModelError(
            f"network of {name!r}: the readout runs as {kind}, which gives out something else than logits or hides its "
            f"weights; expected a native node that adds up, got {readout!r}. Give nengo_dl.Converter "
            "nengo_cam.inference_model(model), which ends in logits, or inference_only=True if the readout has a "
            "regularizer."
        )
    into_pooling = _arriving(net, pooling)
    into_readout = _arriving(net, readout)
    kernels = [connection for connection in into_readout if not is_bias(connection)]
    biases = [connection for connection in into_readout if is_bias(connection)]
    for what, found in (("pooling", into_pooling), ("readout", kernels)):
        if len(found) != 1:
            raise UnsupportedModelError(
                f"network of {name!r}: {len(found)} connections lead into the {what}; expected one, that of the model, "
                f"got {found}. Lead your own connections elsewhere, such as from the readout to a node of yours."
            )
    ((pooled,), (kernel,)) = into_pooling, kernels
    filtered = [connection for connection in into_readout if connection.synapse is not None]
    if filtered:
        # The map would be of another moment than the logit.
        raise UnsupportedModelError(
            f"network of {name!r}: there is a filter between pooling and logits; expected synapse=None, got "
            f"{filtered[0].synapse} on {filtered[0]!r}. Filter the neurons, with synapse= of nengo_dl.Converter, or "
            "what you probe."
        )
    return {
        "readout": kernel,
        "readout_bias": bias_source(biases[0], net.all_connections) if biases else None,
        # Through the same synapse as the connection: otherwise the map is of another moment than the logit.
        "features": find_probe(net, pooled.pre, pooled.synapse, label="features"),
        "logits": find_probe(net, readout, None, label="logits"),
    }


def _arriving(net, obj):
    return [connection for connection in net.all_connections if connection.post_obj is obj]


def find_probe(
    net: nengo.Network, target: Any, synapse: Any = None, *, label: str, attr: str | None = None, solver: Any = None
) -> nengo.Probe:
    """Take the probe of an output that is there already, or add one.

    Parameters
    ----------
    net : nengo.Network
        The network.
    target : object
        What to probe.
    synapse : nengo.synapses.Synapse or None
        Filter on what is probed.
    label : str
        Label of a probe that is added.
    attr : str, optional
        What of it to probe. Default: its output.
    solver : nengo.solvers.Solver, optional
        What decodes an ensemble.

    Returns
    -------
    nengo.Probe
        One that keeps every step.
    """
    # A part of an object has an output, and does not say so.
    wanted = attr or getattr(target, "probeable", ("output",))[0]
    for probe in net.all_probes:
        # Not "is": Nengo makes a new object of an ensemble's neurons each time that somebody asks for them.
        is_same = probe.target == target and probe.attr == wanted and probe.synapse == synapse
        if is_same and solver in (None, probe.solver) and _sees_every_step(net, probe):
            return probe
    return add_probe(net, target, synapse, label=label, attr=attr, solver=solver)


def add_probe(
    net: nengo.Network, target: Any, synapse: Any = None, *, label: str, attr: str | None = None, solver: Any = None
) -> nengo.Probe:
    """Add a probe that keeps every step.

    Parameters
    ----------
    net, target, synapse, label, attr, solver
        As for `find_probe`.

    Returns
    -------
    nengo.Probe
    """
    given = {} if solver is None else {"solver": solver}
    with net:
        probe = nengo.Probe(target, attr, synapse=synapse, label=label, **given)
    if not _keeps_history(net, probe):
        # Those who train set NengoDL to keep the last step only: for their own probes, not for maps.
        net.config[probe].keep_history = True
    return probe


def _sees_every_step(net, probe):
    return probe.sample_every is None and _keeps_history(net, probe)


def _keeps_history(net, probe):
    """Tell whether NengoDL keeps all steps of a probe, or by its setting ``keep_history`` the last one only."""
    return compat.import_nengo_dl().config.get_setting(net, "keep_history", True, probe)
