"""What a user sees of ``--on ray`` when a cluster dies, is not there, asks for a token, or when a signal comes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..command import cuvee

HEAD = """
import sys
from ray.cluster_utils import Cluster
found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
print(found.address, flush=True)
sys.stdin.read()
"""
LASTING = """
import os, pathlib, sys, time
from cuvee import cli
from cuvee.engine import manifest, ray, ray_cluster, run
manifest.CHUNK_ROWS, manifest.SPAN_BYTES, run.SMALL_BYTES = 8, (1, 1), 0
ray.WAIT_SECONDS, ray_cluster.ASK_SECONDS, ray_cluster.GONE_SECONDS = 1.0, 0.5, 1.0
inner = ray.Ray.map

def slowly(self, *arguments, **more):
    for found in inner(self, *arguments, **more):
        pathlib.Path("under-way").touch()
        time.sleep(1)
        yield found

ray.Ray.map = slowly
cli.main()
"""


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a cluster in processes of its own, and the process at whose end all of them are killed."""
    found = subprocess.Popen(
        [sys.executable, "-c", HEAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**without_rays(), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "c" * 64},
        start_new_session=True,
    )
    assert found.stdout is not None
    yield found.stdout.readline().strip(), found
    _kill(found)


def _kill(head: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)
    head.communicate()


def lasting(place: Path, pool: Path, **environment: str) -> subprocess.Popen[str]:
    """A profile on Ray that lasts, once its work is under way."""
    command = [sys.executable, "-c", LASTING, "profile", str(pool), "--on", "ray", "--workers", "1", "--json"]
    found = subprocess.Popen(
        [*command, "--cache", "cache", "-o", "out"],
        cwd=place,
        env={**without_rays(), "HOME": str(place), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    while not (place / "under-way").exists() and found.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (place / "under-way").exists(), found.communicate()
    return found


def planned(place: Path, pool: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """``--plan`` with these variables and no others of Ray's."""
    return subprocess.run(
        [sys.executable, "-m", "cuvee.cli", "profile", str(pool), "--on", "ray", "--plan"],
        cwd=place,
        env={**without_rays(), "HOME": str(place), **environment},
        capture_output=True,
        text=True,
    )


def without_rays() -> dict[str, str]:
    """The environment without Ray's variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def in_session(session: int) -> dict[int, str]:
    """The commands of living processes of a session, by their numbers."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                state, _, _, its = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(its) == session and state != "Z":
                    found[int(folder.name)] = (folder / "cmdline").read_text()
            except (OSError, ValueError):
                continue
    return found


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(f'{{"text": "document {number} of many"}}\n' for number in range(2_000)))
    return path


def test_a_signal_takes_a_cluster_of_its_own_down(tmp_path: Path, pool: Path) -> None:
    driver = lasting(tmp_path, pool)
    assert any("raylet" in one for one in in_session(driver.pid).values())
    driver.send_signal(signal.SIGTERM)
    assert (*driver.communicate(timeout=60), driver.returncode) == ("", "", 143)
    deadline = time.monotonic() + 10
    while (left := in_session(driver.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    assert not (tmp_path / ".ray").exists(), "no token is left in the home folder"


def test_a_joined_cluster(tmp_path: Path, pool: Path, head: tuple[str, subprocess.Popen[str]]) -> None:
    """That asks for a token, then gets a signal in the midst of work, then dies."""
    address, processes = head
    token = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "c" * 64}
    for wrong in ({"RAY_ADDRESS": address}, {**token, "RAY_AUTH_TOKEN": "d" * 64}):
        refused = planned(tmp_path, pool, wrong)
        last = refused.stderr.splitlines()[-1]
        assert refused.returncode == 4 and f"{address} asks for a token" in last and "RAY_AUTH_MODE=token" in last
        assert [line for line in refused.stderr.splitlines() if not line.startswith("connecting")] == [last]
    said = " ".join(planned(tmp_path, pool, token).stdout.split())
    assert f"would join the cluster {address}, which has 1 node with 2 CPUs" in said and "memory" not in said
    driver = lasting(tmp_path, pool, **token)
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=60)
    assert (driver.returncode, out) == (130, "")
    assert err.startswith("error: interrupted; finished parts are kept. Go on with: ") and err.count("\n") == 1
    (tmp_path / "under-way").unlink()
    driver = lasting(tmp_path, pool, **token)
    _kill(processes)
    out, err = driver.communicate(timeout=90)
    assert (driver.returncode, out) == (4, "")
    assert err.startswith(f"error: The Ray cluster {address} is gone") and err.count("\n") == 1
    assert "the same command goes on" in err and not (tmp_path / "out").exists()


def test_a_job_starts_one_worker_a_node(tmp_path: Path, pool: Path, head: tuple[str, subprocess.Popen[str]]) -> None:
    """Not a second one in advance, which would find nothing to do."""
    address, processes = head
    token = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "c" * 64}
    command = [sys.executable, "-m", "cuvee.cli", "profile", str(pool), "--on", "ray", "--workers", "1", "--quiet"]
    started = []
    for number in range(4):  # the first finds one that the cluster started with
        known = workers(processes.pid)
        job = subprocess.Popen(
            [*command, "--cache", f"cache{number}", "-o", f"out{number}"],
            cwd=tmp_path,
            env={**without_rays(), "HOME": str(tmp_path), **token},
        )
        new: set[int] = set()
        while job.poll() is None:
            new |= workers(processes.pid) - known
            time.sleep(0.05)
        assert job.returncode == 0
        started.append(len(new))
    # a later one may find one that nobody used, and a busy machine may make the reservation too late
    assert min(started[1:]) <= 1, started


def workers(session: int) -> set[int]:
    """Worker processes of the cluster in a session."""
    return {number for number, one in in_session(session).items() if "default_worker" in one or "ray::" in one}


def test_a_server_that_does_not_answer(tmp_path: Path, pool: Path) -> None:
    """It takes connections, as a frozen head does, and says nothing."""
    with socket.create_server(("0.0.0.0", 0), backlog=50) as server:
        environment = {**os.environ, "RAY_ADDRESS": f"127.0.0.1:{server.getsockname()[1]}"}
        finished = subprocess.run(
            [sys.executable, "-c", BRIEF, "profile", str(pool), "--on", "ray"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    waiting, failed = finished.stderr.splitlines()
    assert waiting.startswith("connecting to the Ray cluster 127.0.0.1:")
    assert finished.returncode == 4 and "does not answer within 3 s" in failed


BRIEF = """
from cuvee import cli
from cuvee.engine import ray_cluster
ray_cluster.SLOW_SECONDS, ray_cluster.CONNECT_SECONDS = 1.0, 3.0
cli.main()
"""


def test_a_plan_says_what_ray_would_do(tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    shown = cuvee("profile", pool, "--on", "ray", "--workers", 3, "--plan", "--cache", tmp_path / "cache")
    assert "would start a cluster on this machine, with 3 CPUs" in " ".join(shown.out.split())
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    refused = cuvee("profile", pool, "--on", "ray", "--plan", "--cache", tmp_path / "cache")
    assert refused.status == 4 and "127.0.0.1:1 cannot be reached" in refused.error()


ENDING = """
import os, sys
from cuvee import supervisor

def run():
    supervisor.last_words(4, "The cluster is gone, so this \\x1b[31m ended.")
    {how}

supervisor.supervise(run)
"""


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("os._exit(1)", 4, "error: The cluster is gone"),
        ("os.abort()", 4, "error: The cluster is gone"),
        ("raise SystemExit(1)", 1, ""),
        ("supervisor.last_words(); os._exit(1)", 1, ""),
        ("supervisor.end(5, 'Enough.')", 5, "error: Enough."),
    ],
)
def test_a_library_that_ends_the_process_does_not_have_the_last_word(how: str, status: int, said: str) -> None:
    ended = subprocess.run([sys.executable, "-c", ENDING.replace("{how}", how)], capture_output=True, text=True)
    assert ended.returncode == status and ended.stderr.startswith(said) and bool(ended.stderr) == bool(said)
    assert "\x1b" not in ended.stderr
