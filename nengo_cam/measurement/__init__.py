"""What a network does over time.

`run` feeds images to a simulator, one of `backends`, chunk of time by chunk. Whatever measures is a `recorder`, and one
run feeds several. There are recorders of maps (`cam`), of answers beside the CNN's (`answers`), of each layer's
activity (`activity`), of spikes and synaptic operations (`cost`, `synaptic_operations`) and of scores alone
(`predict`), with a function for each. The same is measured at several firing rates (`calibration_curve`), and of
randomized models (`randomization`).

What they share: `arguments` that every run is given, `decoding` of a layer's output into spikes and activity, and how a
network is read, the `projection` of features where each position or step has weights of its own, the `labels` and steps
(`kept_steps`) that a result holds, its time axis and `provenance`, and the Dataset of maps (`maps_dataset`). `lag` says
which neurons are late where input moves.

`live` makes the map a part of the network, for others to react to it; `map_operator` says how simulators compute it,
`nengo_dl_map_operator` how NengoDL does.

Arrays that users `probed` themselves become the same Dataset: their shapes tell the `layouts`, and if other `readings`
than that give the logits, it is said what is wrong.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=[
        "activity",
        "answers",
        "arguments",
        "backends",
        "calibration_curve",
        "cam",
        "cost",
        "decoding",
        "kept_steps",
        "labels",
        "lag",
        "layouts",
        "live",
        "map_operator",
        "maps_dataset",
        "nengo_dl_map_operator",
        "predict",
        "probed",
        "projection",
        "provenance",
        "randomization",
        "readings",
        "recorder",
        "run",
        "synaptic_operations",
    ],
    submod_attrs={
        "activity": ["ActivityRecorder"],
        "answers": ["AnswersRecorder"],
        "cam": ["CamRecorder"],
        "cost": ["CostRecorder"],
        "predict": ["LogitsRecorder"],
        "recorder": ["Recorder", "record"],
    },
)
