"""The process around the command line: it waits, passes on signals, and puts a violent death into words."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

INTERRUPTED = 130
_BYTES = 4096
_ENDED = 1
_terminated = 0
"""The status to end with, once a signal has asked for it."""
_shared: mmap.mmap | None = None
"""Seen by both processes: whether the child ended by itself, a status, and the last words that go with it."""


def supervise(run: Callable[[], None]) -> NoReturn:
    """Call ``run`` in a child process, so that a crash inside a native reader becomes a sentence.

    File formats are parsed by native libraries; a malformed file may end the process that reads it. The parent does
    nothing but wait, pass on signals and translate a violent death. Where forking is not possible, it runs directly.
    """
    global _shared
    if not hasattr(os, "fork") or os.environ.get("CUVEE_NO_FORK"):
        run()
    _shared = mmap.mmap(-1, _BYTES)
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
            _leave(_terminated or (code if isinstance(code, int) else 1))
        except BaseException:
            import traceback

            traceback.print_exc()
            _leave(70)
    for passed_on in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(passed_on, lambda received, _: os.kill(child, received))
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and _shared[0] == _ENDED:
        os._exit(os.WEXITSTATUS(status))
    words = _shared[2:].partition(b"\0")[0].decode(errors="replace")
    if words and (os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGABRT):
        print(f"error: {words}", file=sys.stderr)
        os._exit(_shared[1])
    if os.WIFEXITED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    if number == signal.SIGINT:
        print(f"error: {interrupted(sys.argv[1:])}", file=sys.stderr)
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


def watched() -> bool:
    """Whether this process is the child of :func:`supervise`."""
    return _shared is not None


def terminate(number: int, _: object) -> NoReturn:
    """A signal's handler: wind up, and end with the signal's status, whatever a library makes of the exception."""
    global _terminated
    signal.signal(number, signal.SIG_IGN)
    _terminated = 128 + number
    raise SystemExit(_terminated)


def last_words(status: int = 0, sentence: str = "") -> None:
    """What the parent says, and its status, if a library ends this process from within; nothing takes them back.

    Some libraries call ``_exit`` or ``abort`` in native code when what they depend on is gone.
    """
    if _shared is None:
        return
    from .report.terminal import safe

    said = safe(sentence, 2000).encode(errors="replace")[: _BYTES - 3] if sentence else b""
    _shared[2 : 3 + len(said)] = said + b"\0"
    _shared[1] = status


def interrupted(words: Sequence[str]) -> str:
    """What to say after Ctrl-C, with the command line that goes on; ``mix fit`` keeps nothing until it is done."""
    from .quantities import shell_line

    again = shell_line(["cuvee", *words])
    if list(words[:2]) == ["mix", "fit"]:
        return f"interrupted; nothing was written. Begin again with: {again}"
    if list(words[:1]) == ["pretrain"]:
        return f"interrupted; the training goes on where it was last saved, at most 30 s of it ago. Go on with: {again}"
    return f"interrupted; finished parts are kept. Go on with: {again}"


def end(status: int, sentence: str) -> NoReturn:
    """End this process at once, from any thread, with a sentence."""
    from .report.terminal import safe

    with contextlib.suppress(Exception):
        print(f"error: {safe(sentence, 2000)}", file=sys.stderr, flush=True)
    _leave(status)


def _leave(status: int) -> NoReturn:
    """End this process, known to the parent as its own decision."""
    if _shared is not None:
        _shared[0] = _ENDED
    os._exit(status)


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
