"""The entry point of a function's process: AWS's own runtime client, unchanged.

It is started by path, so that the function's ``sys.path`` is as in the cloud, without the rest of
this repository::

    python -P process.py <lifeline> <runtime> <clock file or -> <handler>

*runtime* is ``awslambdaric`` or, where that has no wheel, ``plain``. It imports little:
modules loaded here do not count in a function's measured cold start.
"""

from __future__ import annotations

import importlib.util
import os
import sys

REPOSITORY = os.path.abspath(f"{__file__}/../../..")  # noqa: PTH100 - pathlib is not imported


def _install_clock(path: str) -> None:
    """Let domain time follow the sandbox's clock, if the function has the core layer."""
    if importlib.util.find_spec("ullgetthejob") is None:
        return
    from pathlib import Path

    from local.clock import LocalClock
    from ullgetthejob.platform import clock

    clock.install(LocalClock(Path(path)).now)


def _serve_by_awslambdaric(arguments: list[str]) -> None:
    """Do what ``python -m awslambdaric`` does, except that no thread is started for each wait for
    an invocation: it would let the process handle a signal meanwhile, and here it gets none but
    SIGKILL."""
    from awslambdaric import bootstrap  # type: ignore[import-untyped]
    from awslambdaric.lambda_runtime_client import (  # type: ignore[import-untyped]
        LambdaRuntimeClient,
    )

    address = os.environ["AWS_LAMBDA_RUNTIME_API"]
    client = LambdaRuntimeClient(address, use_thread_for_polling_next=False)
    bootstrap.run(arguments[1], client)


def main(lifeline: int, runtime: str, clock: str, handler: str) -> None:
    """Serve invocations of *handler* until killed."""
    sys.path.insert(0, REPOSITORY)
    from local.child import end_with_parent

    end_with_parent(lifeline)
    if clock != "-":
        _install_clock(clock)
    if runtime == "awslambdaric":
        serve = _serve_by_awslambdaric
    else:
        from local.functions import runtime_loop

        serve = runtime_loop.main
    sys.path.remove(REPOSITORY)
    sys.argv = [sys.argv[0], handler]
    serve(sys.argv)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
