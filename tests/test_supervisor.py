"""The process around the command line."""

from __future__ import annotations

import subprocess
import sys

LIBRARY = """
import os, signal
from cuvee import supervisor

def run():
    signal.signal(signal.SIGTERM, supervisor.terminate)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    except SystemExit:
        raise SystemExit(1)  # as Ray does while it waits in native code

supervisor.supervise(run)
"""


def test_a_signal_keeps_its_status_whatever_a_library_makes_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (143, "")
