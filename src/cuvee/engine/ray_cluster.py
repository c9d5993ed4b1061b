"""Reaching a Ray cluster: within bounded time, in silence, and with a sentence when it cannot be or is gone.

Ray retries for minutes where nobody answers, writes its account of that to standard error from native code, takes the
handler of SIGTERM, and ends the whole process when the head stays away. None of it suits a command line.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from .. import supervisor
from ..errors import MissingExtraError, ResourceError
from ..source.retry import teller

KNOCK_SECONDS = 5.0
CONNECT_SECONDS = 30.0
"""How long joining may take."""
SLOW_SECONDS = 3.0
"""Joining that takes longer than this is worth a line."""
ASK_SECONDS = 2.0
RESERVE_SECONDS = 0.1
"""How long cores are waited for, and then held, while a job makes its first request."""
GONE_SECONDS = 20.0
"""A head that nobody can reach for so long is given up. (Ray ends the process after 60 s.)"""
FROZEN_SECONDS = 45.0
"""The same for a process that waits in native code, where it cannot be told."""
_HERE = ("", "local")
_JOINING = {
    "RAY_NUM_REDIS_GET_RETRIES": "1",  # of 15 s each; 20 by default
    "RAY_py_gcs_connect_timeout_s": "5",
    "RAY_gcs_server_request_timeout_seconds": "20",
}
_ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_TOKENS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def named(address: str | None) -> str | None:
    """The address of the cluster to join: the one given, else ``RAY_ADDRESS``; None where one is to be started."""
    address = address or os.environ.get("RAY_ADDRESS") or ""
    return None if address in _HERE else address


def connect(address: str | None, workers: int) -> tuple[Any, Lifeline]:
    """Join the cluster at an address, or start one here with so many cores (0: all that this process may use).

    Returns Ray's library, and what notices that the cluster is gone.

    Raises:
        ResourceError: nobody answers, the token is missing or wrong, or starting failed.
    """
    joins = address is not None
    settings = {**_ALWAYS, **(_JOINING if joins else {})}
    if not joins and not any(name in os.environ for name in _TOKENS):
        # else Ray puts a token into the home folder, and every head started there later would ask for it
        settings["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    with _environment(settings), _signals(joins):
        ray = library()
        supervisor.last_words(ResourceError.exit_status, str(_unreachable(address, "Ray gave up")))
        try:
            with _in_time(address):
                if address is None:
                    where: dict[str, Any] = alone(workers)
                else:
                    where = {"address": address}
                    _knock(address, ray)
                ray.init(**where, log_to_driver=False, logging_level="ERROR", configure_logging=False)
                ray.cluster_resources()  # a head that froze meanwhile would be waited for without end later
        except BaseException as error:
            with contextlib.suppress(Exception):
                ray.shutdown()
            supervisor.last_words()
            if isinstance(error, (ConnectionError, ValueError, RuntimeError, OSError, ray.exceptions.RayError)):
                raise _refusal(address, error) from error
            raise
    lifeline = Lifeline(ray, address)
    supervisor.last_words(ResourceError.exit_status, str(gone(address)))
    return ray, lifeline


def alone(workers: int) -> dict[str, Any]:
    """How a cluster on this machine is started."""
    return {"address": "local", "num_cpus": workers or len(os.sched_getaffinity(0)), "include_dashboard": False}


def library() -> Any:
    """Ray, with its notices off: retries are its business, and what matters is raised."""
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "Running on a Ray cluster") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    with contextlib.suppress(AttributeError):
        ray._private.worker._worker_logs_enabled = False
    return ray


def leave(ray: Any) -> None:
    """Leave the cluster; end it if it was started here."""
    with contextlib.suppress(Exception):
        ray.shutdown()
    with contextlib.suppress(Exception):  # a token that was read for this cluster is not another's
        ray._raylet.AuthenticationTokenLoader.instance().reset_cache()
        ray._raylet.Config.initialize("")
    supervisor.last_words()


@contextlib.contextmanager
def without_spares(ray: Any, nodes: list[dict[str, Any]]) -> Iterator[None]:
    """A job's first task, without the second worker process that Ray starts for it.

    A node answers the first request of a job with two: one for the task, and one in advance if a core is free. The
    second costs a third of a CPU second and finds nothing to do where threads of the first take all cores. So all cores
    are reserved while the request is made. That is for clusters of one node; where others use some of its cores, the
    reservation is not waited for.
    """
    cores = [node["Resources"].get("CPU", 0.0) for node in nodes]
    if len(cores) != 1 or cores[0] < 1:
        yield
        return
    from ray.util.placement_group import placement_group, remove_placement_group

    reserved = placement_group([{"CPU": cores[0]}])
    try:
        reserved.wait(RESERVE_SECONDS)
        yield
        time.sleep(RESERVE_SECONDS)  # the request is on its way
    finally:
        remove_placement_group(reserved)


class Lifeline:
    """Notices that a cluster's head does not answer any more."""

    def __init__(self, ray: Any, joined: str | None) -> None:
        """``joined``: the cluster's address as the user named it, None if it was started here."""
        self.ray, self.joined = ray, joined
        self.gone = False
        self._head: str | None = None
        with contextlib.suppress(Exception):
            self._head = str(ray.get_runtime_context().gcs_address)
        self._asked = time.monotonic()
        self._silent: float | None = None
        self._left = threading.Event()
        if supervisor.watched():
            threading.Thread(target=self._watch, name="cuvee-lifeline", daemon=True).start()

    def close(self) -> None:
        """The cluster may end now."""
        self._left.set()

    def _watch(self) -> None:
        """End this process in the end if it waits in native code, which hears of a frozen head after many minutes."""
        answered = time.monotonic()
        while not self._left.wait(FROZEN_SECONDS / 9):
            if not self.lost():
                answered = time.monotonic()
            elif time.monotonic() - answered >= FROZEN_SECONDS and not self._left.is_set():
                error = self.loss()
                supervisor.end(error.exit_status, str(error))

    def check(self) -> None:
        """Ask, if some seconds have passed since the last time; raise once there was no answer for long.

        Raises:
            ResourceError: the cluster is gone.
        """
        now = time.monotonic()
        if now - self._asked < ASK_SECONDS:
            return
        lost = self.lost()
        self._asked = time.monotonic()
        if not lost:
            self._silent = None
            return
        self._silent = now if self._silent is None else self._silent
        if self._asked - self._silent >= GONE_SECONDS:
            raise self.loss()

    def loss(self) -> ResourceError:
        """The error for a cluster that is gone."""
        self.gone = True
        return gone(self.joined)

    def lost(self) -> bool:
        """Whether the head does not answer now; what failed, failed because of that. Unknown counts as no."""
        if self._head is None:
            return False
        if _silence(self._head) is not None:
            return True
        try:  # a frozen process still takes connections
            self.ray._private.worker.global_worker.gcs_client.internal_kv_get(b"cuvee", None, timeout=KNOCK_SECONDS)
        except (AttributeError, TypeError):
            return False
        except Exception:
            return True
        return False


def gone(joined: str | None) -> ResourceError:
    """A cluster that ended while work was under way."""
    which = f"The Ray cluster {joined}" if joined else "The Ray cluster that was started on this machine"
    return ResourceError(
        f"{which} is gone: its head or this machine's Ray node was stopped, died or cannot be reached. Finished work "
        f"is kept: {'start the cluster again, and ' if joined else ''}the same command goes on there."
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what native code writes off standard error, while Python's own errors and progress still reach it.

    Only where standard error is this process's own: with another stream in its place, nothing is done.
    """
    shown = sys.stderr
    try:
        real = isinstance(shown, io.TextIOWrapper) and shown.fileno() == 2
    except (OSError, ValueError):
        real = False
    if not real:
        yield
        return
    shown.flush()
    kept = os.dup(2)
    sys.stderr = os.fdopen(kept, "w", encoding=shown.encoding, errors="replace", buffering=1, closefd=False)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = shown
        os.dup2(kept, 2)
        os.close(kept)


def _refusal(address: str | None, error: BaseException) -> ResourceError:
    """Why connecting failed, in words."""
    chain: list[str] = []
    at: BaseException | None = error
    while at is not None and len(chain) < 9:
        chain.append(f"{type(at).__name__} {at}")
        at = at.__cause__ or at.__context__
    if any(word in part for part in chain for word in ("Unauthenticated", "AuthenticationError", "InvalidAuthToken")):
        return ResourceError(
            f"The Ray cluster {address or 'on this machine'} asks for a token, and none or another was given. Set "
            "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what 'ray get-auth-token' prints on the cluster's head."
        )
    if isinstance(error, ResourceError):
        return error
    return _unreachable(address, str(error).strip().split("\n")[0].rstrip("."))


def _unreachable(address: str | None, why: str) -> ResourceError:
    if address is None:
        return ResourceError(f"A Ray cluster cannot be started on this machine ({why}). Run without --on ray.")
    return ResourceError(
        f"The Ray cluster {address} cannot be reached ({why}). Start one with 'ray start --head', "
        "set RAY_ADDRESS to its address, or run without --on ray."
    )


def _knock(address: str, ray: Any) -> None:
    """Refuse an address at which nobody listens, which Ray would go on trying for minutes."""
    if "://" not in address:  # Ray takes localhost for this machine's own address, and finds "auto"
        address = ray._private.services.canonicalize_bootstrap_address(address) or address
    why = _silence(address.rpartition("://")[2])
    if why is not None:
        raise ConnectionError(why)


def _silence(address: str) -> str | None:
    """Why nobody can be reached at HOST:PORT; None where somebody listens, or where it is no such address."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        return None
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        return str(getattr(error, "strerror", None) or error)
    return None


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """These variables where the user has not set them, and afterwards all as it was (Ray itself sets RAY_AUTH_MODE)."""
    before = {name: os.environ.get(name) for name in (*settings, "RAY_AUTH_MODE")}
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, earlier in before.items():
            os.environ.pop(name, None)
            if earlier is not None:
                os.environ[name] = earlier


@contextlib.contextmanager
def _signals(joins: bool) -> Iterator[None]:
    """Ray takes SIGTERM twice, in Python and in native code: what was set before is set again.

    While Ray joins a cluster in native code, Python hears no signal. In a process that the supervisor watches, Ctrl-C
    then ends it at once, and the supervisor says the rest. Where a cluster is started, SIGTERM goes the way of Ctrl-C,
    so that the cluster is taken down in order: a dead one's agents linger.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    if supervisor.watched() and joins and before[signal.SIGINT] is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    elif supervisor.watched() and not joins and before[signal.SIGTERM] is signal.SIG_DFL:
        before[signal.SIGTERM] = supervisor.terminate
        signal.signal(signal.SIGTERM, supervisor.terminate)
    utilities = library()._private.utils
    theirs = utilities.set_sigterm_handler
    utilities.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utilities.set_sigterm_handler = theirs
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def _in_time(address: str | None) -> Iterator[None]:
    """Say that joining takes long, and end the process that the supervisor watches when it takes too long."""
    if address is None or not supervisor.watched():
        yield
        return
    done = threading.Event()

    def watch() -> None:
        if done.wait(SLOW_SECONDS):
            return
        with contextlib.suppress(OSError):
            teller.say(f"connecting to the Ray cluster {address}")
        if not done.wait(CONNECT_SECONDS - SLOW_SECONDS):
            error = _unreachable(address, f"it does not answer within {CONNECT_SECONDS:.0f} s")
            supervisor.end(error.exit_status, str(error))

    threading.Thread(target=watch, name="cuvee-connecting", daemon=True).start()
    try:
        yield
    finally:
        done.set()
