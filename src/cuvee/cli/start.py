"""Running the command line: every way in which it may end has a sentence and a status."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from typing import Any, NoReturn

import click

from ..errors import CuveeError, ResourceError, UsageError
from ..supervisor import INTERRUPTED, interrupted, supervise
from .group import cli


def fail(message: str, status: int) -> NoReturn:
    from ..report.terminal import safe

    with contextlib.suppress(OSError):
        click.echo(f"error: {safe(message, 2000)}", err=True)
    raise SystemExit(status)


def run() -> None:
    """Run the command line in this process and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without the characters of a chart gets question marks
            stream.reconfigure(errors="replace")
    warnings.showwarning = warn
    try:
        # not cli.main(), which makes "aborted" of an interrupt and status 1 of a closed pipe
        with cli.make_context("cuvee", sys.argv[1:]) as context:
            cli.invoke(context)
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.ClickException as error:
        show(error)
        raise SystemExit(UsageError.exit_status) from None
    except CuveeError as error:
        fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        fail(interrupted(sys.argv[1:]), INTERRUPTED)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except MemoryError:
        fail("memory ran out. Use fewer --workers, or give --memory.", ResourceError.exit_status)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror or error}. Run the same command again to go on.", ResourceError.exit_status)
    raise SystemExit(0)


def warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A library's warning, on a line."""
    from ..report.terminal import safe

    with contextlib.suppress(OSError):
        click.echo(f"warning: {safe(message, 2000)}", err=True)


def show(error: click.ClickException) -> None:
    """What click says about a wrong command line, which it may quote: nothing may reach the terminal as it is."""
    from ..report.terminal import safe

    told = io.StringIO()
    error.show(told)
    with contextlib.suppress(OSError):
        for line in told.getvalue().splitlines():
            click.echo(safe(line, 2000), err=True)


def main() -> NoReturn:
    """The ``cuvee`` command."""
    supervise(run)
