"""A Ray cluster of two real nodes on this machine, and executors that disturb their workers."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from cuvee.engine import files
from cuvee.engine.executor import Watch
from cuvee.engine.ray import Ray

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers know no tests


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes with one core each; this process is connected to the first, which has none."""
    ray.shutdown()
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for number in range(2):
        found.add_node(num_cpus=1, resources={f"node{number}": 1})
    found.wait_for_nodes()
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    yield found
    ray.shutdown()
    found.shutdown()


class Once:
    """Work that is disturbed in some of its tasks, the first time that each is run: ``how`` says what happens."""

    def __init__(self, work: Any, folder: Path, how: Callable[[Path], None], every: int) -> None:
        self.work, self.folder, self.how, self.every = work, folder, how, every

    def __call__(self, task: Any, watch: Watch) -> Any:
        number = getattr(task, "number", None)
        if number is not None and number % self.every == 1:
            try:
                (self.folder / f"task-{number}").mkdir()
            except FileExistsError:
                pass
            else:
                self.how(self.folder)
        try:
            return self.work(task, watch)
        finally:
            files.system = files.System()


class Disturbed(Ray):
    """The Ray executor with disturbed tasks; counts what the driver holds."""

    def __init__(self, folder: Path, how: Callable[[Path], None], every: int = 3) -> None:
        super().__init__()
        self.folder, self.how, self.every = folder, how, every
        self.fetched = 0
        self.most_ahead = 0

    def map(self, work: Any, tasks: Iterable[Any], *more: Any) -> Iterator[Any]:
        ahead = 0

        def counted() -> Iterator[Any]:
            nonlocal ahead
            for task in tasks:
                ahead += 1
                self.most_ahead = max(self.most_ahead, ahead)
                yield task

        for found in super().map(Once(work, self.folder, self.how, self.every), counted(), *more):
            ahead -= 1
            yield found

    def fetch(self, handle: Any) -> Any:
        self.fetched += 1
        return super().fetch(handle)


def nothing(folder: Path) -> None:
    """Undisturbed."""


def die(folder: Path) -> None:
    """The worker is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait_to_be_killed(folder: Path) -> None:
    """The task waits until the test has removed its node."""
    node = next(name for name in ray.get_runtime_context().get_assigned_resources() or {"CPU": 1})
    (folder / f"on-{ray.get_runtime_context().get_node_id()}").write_text(node)
    time.sleep(60)


class _Full(files.System):
    def write(self, stream: Any, data: Any) -> None:
        raise OSError(28, "No space left on device")


def disk_full(folder: Path) -> None:
    """The worker's disk is full until the task ends."""
    files.system = _Full()
