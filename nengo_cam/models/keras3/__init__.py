"""Models of Keras 3, rebuilt layer by layer with the Keras 2 that NengoDL needs.

A model is rebuilt from its description, the JSON that Keras writes into every file, and from its weights: those of the
model in memory (`live`), or those of a file, which Keras 3 need not be installed for (`file`). No code of the
description is run. `layers` and `operations` say what one step of the description becomes, `rebuild` puts them
together, `weights` finds the numbers, `check` compares with Keras 3.
"""

from .file import rebuild_file
from .live import as_keras2, rebuild_live
from .rebuild import Rebuilt

__all__ = ["Rebuilt", "as_keras2", "rebuild_file", "rebuild_live"]
