"""The process around the command line: it waits, passes on signals, and puts a violent death into words."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

INTERRUPTED = 130


def supervise(run: Callable[[], None]) -> NoReturn:
    """Call ``run`` in a child process, so that a crash inside a native reader becomes a sentence.

    File formats are parsed by native libraries; a malformed file may end the process that reads it. The parent does
    nothing but wait, pass on signals and translate a violent death. Where forking is not possible, it runs directly.
    """
    if not hasattr(os, "fork") or os.environ.get("CUVEE_NO_FORK"):
        run()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _die_with(parent)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _interrupt_once)
        try:
            run()
        except SystemExit as error:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            code = error.code
            os._exit(code if isinstance(code, int) else 1)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(70)
    for passed_on in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(passed_on, lambda received, _: os.kill(child, received))
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    if number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL):
        print(
            f"error: a native library crashed ({signal.Signals(number).name}), most likely over a malformed file. "
            "Read the pool's files one by one (cuvee profile FILE) to find it, and leave it out.",
            file=sys.stderr,
        )
        os._exit(3)
    if number == signal.SIGKILL:
        print(
            "error: the process was killed, perhaps for want of memory. Run the same command again to go on.",
            file=sys.stderr,
        )
    os._exit(128 + number)


def _interrupt_once(*_: object) -> None:
    """Ctrl-C comes from the terminal and, passed on, from the parent: the second must not disturb the winding up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _die_with(parent: int) -> None:
    """Ask the system to end this process when its parent ends, so that killing cuvee leaves nothing running."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(INTERRUPTED)
