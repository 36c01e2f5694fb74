"""The command ``nengo-cam``.

`commands` holds what can be asked for, `filming` the command that films, `options` what several commands take, `inputs`
reads files and turns them into a network to run, `tables` writes files of numbers, `terminal` is what is said on the
terminal, `demonstrations` what the demo shows.
"""

from .commands import main

__all__ = ["main"]
