"""A Nengo backend that runs all time steps of an operator at once.

=================  ==========================================================================
Module             Holds
=================  ==========================================================================
simulator          `Simulator`
data               checks of what is fed, access to what is recorded
engine             runs the tasks of a plan, chunk by chunk
plan               order of the operators, and where each signal's value comes from
cycles             errors for networks that cannot run
reference_builder  Nengo's builder, without the work that nobody looks at
operator_folding   operators rewritten so that the same numbers cost less
context            what rules are told
operator_rules     rules for operators, and their registry
operators          rules: copies, products, the clock, Python functions
convolution        rules: convolutions
events             convolutions of spikes
pooling            rule: averages that come as convolutions
neurons            rules: neurons, and the registry of neuron types
integration        integrate-and-fire neurons over a chunk of time
scan               scans over time, in blocks
compiled           loops that are compiled
synapses           rules: filters
processes          rules: other processes
tensor_nodes       rule: NengoDL's TensorNodes
signals            values of signals
tensors            between NumPy and TensorFlow
=================  ==========================================================================
"""

from . import convolution, neurons, operators, pooling, processes, tensor_nodes  # noqa: F401 (they register rules)
from .neurons import register_neurons
from .operator_rules import Rule, register_operator
from .simulator import Simulator

__all__ = ["Rule", "Simulator", "register_neurons", "register_operator"]
