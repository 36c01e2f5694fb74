"""Arguments in, files out.

`parameters` and `images` check what users give, `sources` images that are read block by block, `memory` whether there
is room for what they ask for; `callers` finds the line that a warning is for; `percentiles` of more values than fit in
memory; `output` writes files whole or not at all.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=["callers", "images", "memory", "output", "parameters", "percentiles", "sources"]
)
