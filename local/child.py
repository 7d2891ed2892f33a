"""A child process that ends when its parent does, also by SIGKILL.

``python -P child.py <lifeline> <module> [arguments]`` runs a module as ``python -m`` would. The
*lifeline* is the number of an inherited pipe's read end. The parent keeps the other end and never
writes to it: when it ends, by SIGKILL too, the kernel closes it and the child sees the end of
file. (``PR_SET_PDEATHSIG`` would be Linux only, and is bound to the thread that forked.)
"""

from __future__ import annotations

import _thread  # the threading module costs a function milliseconds of its cold start
import os
import sys


def end_with_parent(lifeline: int) -> None:
    """End this process, at once, as soon as the other end of the pipe *lifeline* is closed."""
    os.set_inheritable(lifeline, False)

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(1)

    _thread.start_new_thread(watch, ())


class Lifeline:
    """The parent's side: one pipe for all children."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()

    def close(self) -> None:
        """End every child that still runs."""
        os.close(self._write_end)
        os.close(self.read_end)


def command(lifeline: Lifeline, *arguments: str) -> list[str]:
    """Return the command of ``python -m …`` as a child that inherits the end of *lifeline*."""
    return [sys.executable, "-P", os.path.abspath(__file__), str(lifeline.read_end), *arguments]  # noqa: PTH100


def main(arguments: list[str]) -> None:
    """Run the module named in *arguments*; see the module's docstring."""
    import runpy

    lifeline, module, *rest = arguments
    end_with_parent(int(lifeline))
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
