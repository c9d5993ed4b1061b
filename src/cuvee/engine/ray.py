"""The Ray executor: the same work as on one machine, as tasks of a Ray cluster (``pip install 'cuvee[ray]'``).

Ray schedules, retries, moves states between nodes and spills them; this module decides only what a task is. Workers
read the pool's files and write to the cache themselves, so files and cache must lie where every node sees them. What
comes back to the driver is small: how far a task got, and handles of states, which also merge on the workers.

A task that dies with its worker or its node is run again by Ray; a state that is lost with a node is computed again
from the tasks that made it. Both give the same bits, since work is a pure function of the files.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import platform
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import supervisor
from ..core import Fold, State
from ..errors import CuveeError, MissingExtraError, ResourceError, UsageError
from ..report.figures import plural
from . import ray_cluster
from .executor import Advance, Task, Watch, unheard
from .files import explain
from .local import Local
from .one_thread import one_thread
from .store import code_digest

if TYPE_CHECKING:
    from ..source.base import Source

RETRIES = 5
"""How often Ray runs a task again whose worker or node died."""
LOOK_SECONDS = 120.0
LEAVE_SECONDS = 5.0
"""So long after its task failed, a node that is still in the cluster is held to be broken, not gone."""
WAIT_SECONDS = 5.0
"""After so long without an answer, it is asked whether the cluster is still there."""
MOST_THREADS = 4
SMALL_STATE = 100_000
"""Bytes of a state that comes along with its task's answer, so that it merges on the driver for less than a task costs.
Larger ones stay with the workers and merge there."""
MOST_LOOKED_AT = 100
"""Files of a pool that every node is asked for before work begins, evenly spaced among all of them."""
_END = 64 << 10
_KEPT_WORKS = 3
"""Works that the driver keeps sent and a worker process unpacked: a pass's, its Fold's, and one more."""


def _pickle() -> Any:
    """Ray's own serialisation, which sends classes and functions of scripts and notebooks by their content."""
    from ray import cloudpickle

    return cloudpickle


class Ray:
    """A Ray cluster: the one that is running (``RAY_ADDRESS``, or ``ray.init()`` called before), else one started here.

    Args:
        workers: cores of a cluster that is started here; 0 takes every core that this process may use.
        address: of a running cluster, like "auto" or "10.0.0.1:6379"; by default the environment's ``RAY_ADDRESS``.
        gpus: GPUs that every trial of ``cuvee.prove`` asks for (may be a fraction).

    Use it in a ``with``, or call :meth:`close`: a cluster that was started here then ends.
    """

    remote = True

    def __init__(self, workers: int = 0, address: str | None = None, gpus: float = 0.0) -> None:
        if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
            raise UsageError(f"A trial has a share of one GPU or whole ones: not {gpus:g}. Ask for 0.5, 1 or 2.")
        self.gpus = gpus
        self.joined = ray_cluster.named(address)
        """The address of the cluster that was joined, as the user named it; None if it was started here."""
        self.library: Any
        self._began = not _initialized()
        if self._began:
            self.library, self._lifeline = ray_cluster.connect(self.joined, workers)
        else:
            self.library = ray_cluster.library()
            self._lifeline = ray_cluster.Lifeline(self.library, None)
        with self.spoken():
            self._cores = _cores(self.library)
        self._sent: OrderedDict[int, tuple[Any, Any, str]] = OrderedDict()

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; end it if it was started here."""
        self._lifeline.close()
        if self._began and not (self._lifeline.gone and supervisor.watched()) and self.library.is_initialized():
            ray_cluster.leave(self.library)

    @property
    def workers(self) -> int:
        """Cores of the cluster; nodes may join and leave."""
        with contextlib.suppress(Exception):
            self._cores = _cores(self.library)
        return self._cores

    @property
    def trials(self) -> int:
        """As many as there are cores, or GPUs if trials ask for them."""
        if not self.gpus:
            return self.workers
        with self.spoken():
            nodes = [node["Resources"] for node in self.library.nodes() if node["Alive"]]
        places = sum(min(int(node.get("CPU", 0)), int(node.get("GPU", 0) / self.gpus + 1e-9)) for node in nodes)
        if not places:
            most = max((node.get("GPU", 0) for node in nodes), default=0)
            raise ResourceError(
                f"Trials ask for {self.gpus:g} GPU and a core each, and no Ray node has more than {most:g}. Add a node "
                "that has, or run without --gpus."
            )
        return places

    def ready(self, folders: Sequence[Path], sources: Sequence[Source]) -> None:
        """Ask every node whether it runs this code, sees these files with this content, and shares this cache."""
        with self.spoken():
            self._look_around(folders, sources)

    def _look_around(self, folders: Sequence[Path], sources: Sequence[Source]) -> None:
        step = max(1, -(-len(sources) // MOST_LOOKED_AT))
        chosen = [*sources[::step], *sources[-1:]]
        expected = {source.path: _content(source) for source in chosen}
        token = os.urandom(16).hex()
        probes = [folder.resolve() / f".probe-{token[:8]}" for folder in folders]
        try:
            for probe in probes:
                probe.parent.mkdir(parents=True, exist_ok=True)
                probe.write_text(token)
            asked: set[str] = set()
            left = True
            while left:  # one that left may have come back as another
                nodes = [node for node in self.library.nodes() if node["Alive"] and node["NodeID"] not in asked]
                asked |= {node["NodeID"] for node in nodes}
                answers = self._all_asked(nodes, probes, chosen)
                for name, theirs in answers.items():
                    if theirs is not None:
                        self._compare(name, theirs, token, expected)
                left = None in answers.values()
        except OSError as error:
            raise explain(error, Path(error.filename or folders[0])) from error
        finally:
            for probe in probes:
                probe.unlink(missing_ok=True)

    def _all_asked(
        self, nodes: list[dict[str, Any]], probes: Sequence[Path], chosen: Sequence[Source]
    ) -> dict[str, dict[str, Any] | None]:
        """What nodes say about themselves, by name."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        look = _remote(self.library, _look)
        answers = {}
        with ray_cluster.without_spares(self.library, nodes):
            for node in nodes:
                near = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                asked = look.options(scheduling_strategy=near, num_cpus=0)
                answer = asked.remote(str(Path.cwd()), [str(probe) for probe in probes], chosen)
                answers[f"{node['NodeManagerAddress']}/{node['NodeID'][:6]}"] = (answer, node["NodeID"])
        return {name: self._ask(answer, name, node) for name, (answer, node) in answers.items()}

    def _ask(self, answer: Any, name: str, node: str) -> dict[str, Any] | None:
        """What a node said about itself; None if it left the cluster meanwhile."""
        ray = self.library
        try:
            return self._patiently(answer, LOOK_SECONDS)
        except ray.exceptions.GetTimeoutError:
            if self._left(node):
                return None
            raise ResourceError(f"The Ray node {name} did not answer within {LOOK_SECONDS:.0f} s. Remove it.") from None
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Refused):
                raise error.cause.error() from None
            raise ResourceError(f"The Ray node {name} cannot run cuvee: {_last_line(error)}.") from error
        except ray.exceptions.RayError as error:
            if self._lifeline.lost():
                raise self._lifeline.loss() from error
            if self._left(node):
                return None
            missing = "No module named" in str(error)
            why = "cuvee is not installed there" if missing else f"it failed: {_last_line(error)}"
            raise ResourceError(
                f"The Ray node {name} cannot run cuvee: {why}. Install the same version of cuvee on every node."
            ) from error

    def _left(self, node: str) -> bool:
        """Whether a node is no longer in the cluster; the head may know it a little later than its tasks fail."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while any(one["NodeID"] == node and one["Alive"] for one in self.library.nodes()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    @staticmethod
    def _compare(name: str, theirs: dict[str, Any], token: str, expected: dict[str, str]) -> None:
        """Refuse a node that cannot do the work, or would do another."""
        mine = _about()
        for what, ours in mine.items():
            if theirs["about"].get(what) != ours:
                raise ResourceError(
                    f"The Ray node {name} has {what} {theirs['about'].get(what)}, and this machine {ours}: results "
                    "could differ. Install the same versions everywhere."
                )
        for probe, found in theirs["tokens"].items():
            if found != token:
                raise ResourceError(
                    f"The Ray node {name} does not see the folder {Path(probe).parent} of this machine. Name folders "
                    "that all nodes share, with --cache and --ledger."
                )
        for path, content in expected.items():
            seen = theirs["files"][path]
            if seen != content:
                why = f"cannot read {path} ({seen[1:]})" if seen[:1] == "!" else f"sees another file as {path}"
                raise ResourceError(f"The Ray node {name} {why}. Put the pool where all nodes see it.")

    def map(
        self,
        work: Callable[[Task, Watch], Any],
        tasks: Iterable[Task],
        advance: Advance = unheard,
        outputs: Callable[[Task], int] | None = None,
    ) -> Iterator[tuple[Task, Any]]:
        """See :class:`cuvee.engine.executor.Executor`. A task of the cluster is a few of these, which run in the
        threads of one worker process; one more than there is room for is under way, so that none waits for work."""
        with self.spoken():
            yield from self._map(work, tasks, advance, outputs)

    def _map(
        self,
        work: Callable[[Task, Watch], Any],
        tasks: Iterable[Task],
        advance: Advance,
        outputs: Callable[[Task], int] | None,
    ) -> Iterator[tuple[Task, Any]]:
        ray = self.library
        packed, key = self._packed(work)
        threads = self._threads()
        call = _remote(ray, _call)
        pending: dict[Any, tuple[list[Task], list[int], list[Any]]] = {}
        waiting = iter(tasks)

        def submit() -> None:
            if bundle := list(itertools.islice(waiting, 2 * threads)):
                states = [outputs(task) - 1 for task in bundle] if outputs is not None else None
                several = call.options(num_cpus=threads, num_returns=1 + sum(states or ()))
                refs = several.remote(key, str(Path.cwd()), packed, bundle, states, threads)
                refs = refs if isinstance(refs, list) else [refs]
                pending[refs[0]] = (bundle, states or [], refs[1:])

        try:
            for _ in range(1 + max(1, self.workers // threads)):
                submit()
            while pending:
                done = self.wait(list(pending))
                for ref in done:
                    bundle, states, refs = pending.pop(ref)
                    amount, heads, sizes = self._get(ref)
                    advance(amount)
                    small = (size <= SMALL_STATE for size in sizes)
                    handles = (self._get(state) if one else state for state, one in zip(refs, small, strict=True))
                    for at, (task, head) in enumerate(zip(bundle, heads, strict=True)):
                        own = tuple(itertools.islice(handles, states[at])) if outputs is not None else ()
                        yield task, (head, *own) if outputs is not None else head
                    submit()
        finally:  # an error, an interrupt or a caller that stopped listening
            for ref in pending:
                with contextlib.suppress(Exception):
                    ray.cancel(ref)

    def _threads(self) -> int:
        """Threads of a worker process: they share what is loaded, but more of them wait for the interpreter's lock."""
        nodes = [int(node["Resources"].get("CPU", 0)) for node in self.library.nodes() if node["Alive"]]
        every = [cores for cores in nodes if cores]
        return max((n for n in range(1, MOST_THREADS + 1) if all(cores % n == 0 for cores in every)), default=1)

    def merge(self, fold: Fold, left: Any, right: Any) -> Any:
        if isinstance(left, dict) and isinstance(right, dict):
            return fold.merge(*({name: np.array(array) for name, array in one.items()} for one in (left, right)))
        with self.spoken():
            packed, key = self._packed(fold)
            return _remote(self.library, _merge).remote(key, str(Path.cwd()), packed, left, right)

    def fetch(self, handle: Any) -> State:
        if isinstance(handle, dict):
            return handle
        return {name: np.array(array) for name, array in self._get(handle).items()}

    def wait(self, refs: list[Any]) -> list[Any]:
        """Which of some references is ready first.

        Raises:
            ResourceError: the cluster is gone.
        """
        while True:
            done, _ = self.library.wait(refs, num_returns=1, timeout=WAIT_SECONDS, fetch_local=False)
            if done:
                return list(done)
            self.check()

    def check(self) -> None:
        """Ask whether the cluster is still there; at most every few seconds, so it may be called often.

        Raises:
            ResourceError: it is gone.
        """
        self._lifeline.check()

    def _patiently(self, ref: Any, most: float = float("inf")) -> Any:
        """The object behind a reference; Ray's errors as they are."""
        ray, begun, seconds = self.library, time.monotonic(), WAIT_SECONDS
        while True:
            try:
                return ray.get(ref, timeout=min(seconds, most))
            except ray.exceptions.GetTimeoutError:
                self.check()
                if time.monotonic() - begun >= most:
                    raise
                seconds *= 2  # what was on its way from another node may be sent anew each time

    @contextlib.contextmanager
    def spoken(self) -> Iterator[None]:
        """What Ray raises because its cluster is gone, as one sentence."""
        try:
            yield
        except CuveeError:
            raise
        except Exception as error:
            if self._lifeline.lost():
                raise self._lifeline.loss() from error
            raise

    def _get(self, ref: Any) -> Any:
        """The object behind a reference; failures of the work, of workers and of nodes as cuvee's own errors."""
        ray = self.library
        try:
            return self._patiently(ref)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Refused):
                raise error.cause.error() from None
            failed = CuveeError(
                f"Work on a Ray worker failed: {_last_line(error)}. This is a defect; please report it."
            )
            failed.add_note(str(error))
            raise failed from None
        except ray.exceptions.OutOfMemoryError as error:
            raise ResourceError(
                "A Ray worker ran out of memory again and again. Give nodes more memory or fewer cores."
            ) from error
        except ray.exceptions.RayError as error:
            if self._lifeline.lost():
                raise self._lifeline.loss() from error
            raise ResourceError(
                f"A task was lost with its Ray worker or node {RETRIES + 1} times, the last time so: "
                f"{_last_line(error)}. What is finished is in the cache: the same command goes on there."
            ) from error

    def _packed(self, work: Any) -> tuple[Any, str]:
        """Work as one object of the cluster, sent to a node once, and a name for it."""
        if id(work) not in self._sent:
            raw = _name_of(_about()).encode() + _pickle().dumps(work)
            name = hashlib.blake2b(raw, digest_size=16).hexdigest()
            self._sent[id(work)] = (work, self.library.put(np.frombuffer(raw, np.uint8)), name)
            while len(self._sent) > _KEPT_WORKS:
                self._sent.popitem(last=False)
        self._sent.move_to_end(id(work))
        _, sent, name = self._sent[id(work)]
        return sent, name


def planned(workers: int) -> tuple[str, int | None]:
    """What ``--on ray`` would do, in words, and the CPUs of a cluster that it would join (which is asked once)."""
    return _planned(workers, ray_cluster.named(None))


@functools.cache
def _planned(workers: int, joined: str | None) -> tuple[str, int | None]:
    if joined is None:
        cores = int(ray_cluster.alone(workers)["num_cpus"])
        return f"would start a cluster on this machine, with {plural(cores, 'CPU')}, and end it with the command", None
    with Ray(address=joined) as cluster:
        cores = cluster.workers
        nodes = len([node for node in cluster.library.nodes() if node["Alive"]])
    return f"would join the cluster {joined}, which has {plural(nodes, 'node')} with {plural(cores, 'CPU')}", cores


def _initialized() -> bool:
    """Whether this process is in a cluster already, as a script that called ``ray.init()`` is."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def _cores(ray: Any) -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().split("\n") if line.strip()]
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__


@functools.cache
def _remote(ray: Any, function: Callable[..., Any]) -> Any:
    return ray.remote(max_retries=RETRIES)(function)


class Refused(Exception):  # noqa: N818
    """One of cuvee's own errors on its way from a worker: the name of its class, and its sentence."""

    def error(self) -> CuveeError:
        from .. import errors

        kind, sentence = self.args
        known = getattr(errors, kind, CuveeError)
        found: CuveeError = (UsageError if known is MissingExtraError else known)(sentence)
        return found


def refusal(error: Exception) -> Exception:
    """What a worker raises for an error of the work: a sentence where there is one to say."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, CuveeError):
        return Refused(type(error).__name__, str(error))
    where = f"The Ray node {platform.node()}"
    if isinstance(error, MemoryError):
        return Refused("ResourceError", f"{where} ran out of memory. Give nodes more of it, or fewer cores.")
    if isinstance(error, OSError):
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        return Refused("ResourceError", f"{where} could not read or write ({what}). Run the same command again.")
    return error


def enter(folder: str) -> None:
    """Work in the driver's folder, so that relative paths mean the same."""
    if str(Path.cwd()) != folder:
        try:
            os.chdir(folder)
        except OSError as error:
            raise Refused(
                "ResourceError",
                f"The Ray node {platform.node()} does not see the folder {folder} ({error.strerror}), from which paths "
                "are read. Start from a folder that all nodes share.",
            ) from None


_unpacked: OrderedDict[str, Any] = OrderedDict()


def _unpack(key: str, folder: str, packed: Any) -> Any:
    """Work in this process, with arrays of its own: kernels are compiled for arrays that may be written to."""
    enter(folder)
    if key not in _unpacked:
        theirs, packed = str(packed[:_NAME_BYTES].tobytes(), "ascii"), packed[_NAME_BYTES:]
        if theirs != _name_of(_about()):
            raise Refused(
                "ResourceError",
                f"The Ray node {platform.node()}, which joined later, has other versions of cuvee or its libraries: "
                "results could differ. Install the same versions everywhere.",
            )
        _unpacked[key] = _pickle().loads(packed.tobytes())
        while len(_unpacked) > _KEPT_WORKS:
            _unpacked.popitem(last=False)
    _unpacked.move_to_end(key)
    return _unpacked[key]


@one_thread()
def _call(
    key: str, folder: str, packed: Any, tasks: Sequence[Any], states: Sequence[int] | None, threads: int
) -> tuple[Any, ...]:
    """Runs on a worker: some tasks of some work, in threads.

    Returns (what was told of progress, results, sizes of states), and after it the states, if tasks give any.
    """
    told: list[float] = []
    found: dict[int, Any] = {}
    work = _unpack(key, folder, packed)

    def numbered(number: int, watch: Watch) -> Any:
        return work(tasks[number], watch)

    try:
        found.update(Local(threads).map(numbered, range(len(tasks)), told.append))
    except Exception as error:
        raise refusal(error) from None
    results = [found[number] for number in range(len(tasks))]
    if states is None:
        return sum(told), results, []
    rest = [state for result in results for state in result[1:]]
    sizes = [sum(array.nbytes for array in state.values()) for state in rest]
    head = (sum(told), [result[0] for result in results], sizes)
    return (head, *rest) if rest else head


@one_thread()
def _merge(key: str, folder: str, packed: Any, left: State, right: State) -> State:
    """Runs on a worker: merges two states, which Ray hands over read-only."""
    try:
        fold = _unpack(key, folder, packed)
        states = ({name: np.array(array) for name, array in state.items()} for state in (left, right))
        return dict(fold.merge(*states))
    except Exception as error:
        raise refusal(error) from None


_NAME_BYTES = 32


def _name_of(about: dict[str, str]) -> str:
    """A digest of what a process is."""
    return hashlib.blake2b(repr(sorted(about.items())).encode(), digest_size=_NAME_BYTES // 2).hexdigest()


@functools.cache
def _about() -> dict[str, str]:
    """What results may depend on besides data and plan."""
    return {
        "Python": ".".join(map(str, sys.version_info[:2])),
        "the processor kind": platform.machine(),
        "the processor's vector instructions": ",".join(_vectors()),
        "NumPy": version("numpy"),
        "Numba": version("numba"),
        "PyArrow": version("pyarrow"),
        "cuvee's sources in version": code_digest()[:12],
    }


def _vectors() -> list[str]:
    """The sets of vector instructions that NumPy uses here: logarithms differ in their last bits with them."""
    from importlib import import_module

    known: dict[str, bool] = getattr(import_module("numpy._core._multiarray_umath"), "__cpu_features__", {})
    return sorted(name for name, there in known.items() if there)


def _content(source: Source) -> str:
    """What a file holds, as far as its size and its two ends tell."""
    path = Path(source.path)
    if "://" in source.path or not path.is_file():
        return source.stamp()
    with path.open("rb") as stream:
        size = path.stat().st_size
        found = hashlib.blake2b(stream.read(_END), digest_size=16)
        stream.seek(max(0, size - _END))
        found.update(stream.read(_END))
    return f"{size}-{found.hexdigest()}"


def _look(folder: str, probes: Sequence[str], sources: Sequence[Source]) -> dict[str, Any]:
    """Runs on every node: what it is, and what it sees."""
    enter(folder)
    seen = {}
    for source in sources:
        try:
            seen[source.path] = _content(source)
        except (OSError, CuveeError) as error:
            seen[source.path] = f"!{getattr(error, 'strerror', None) or error}"
    tokens = {}
    for probe in probes:
        tokens[probe] = ""
        with contextlib.suppress(OSError):
            tokens[probe] = Path(probe).read_text()
    return {"about": _about(), "files": seen, "tokens": tokens}
