"""The indexer: the process that feeds the store from the journal, when others leave it the time.

Whoever reads the store reads on in the journal first, so nothing waits for the indexer: it keeps that short.
"""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from gatepost_audit.segment import Damage
from gatepost_audit.store import Store, read

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between looks at the journal."""
PATIENCE = 30.0
"""Seconds between attempts after the store could not be fed."""
NICENESS = 10
LEAST = 19
"""The niceness of what has no time of its own, where the system has no better way to say so."""
ARREARS = 256 << 20
"""Bytes of full segments above which it no longer waits for a processor that nobody else wants."""


def main(folder: Path) -> NoReturn:
    """The indexer's process. SIGTERM may end it anywhere: a transaction is done or it is not."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    os.nice(NICENESS)
    idle = ThreadPoolExecutor(1, "idle", initializer=yield_to_all)
    while True:
        try:
            with Store(folder) as store:
                while True:
                    feed(store, folder, idle)
                    time.sleep(INTERVAL)
        except (sqlite3.Error, OSError) as error:
            log.error("the store cannot be fed: %s", error)
        except Damage as damage:
            log.error("the store and the journal do not agree; see `gatepost audit verify`: %s", damage)
        time.sleep(PATIENCE)


def feed(store: Store, folder: Path, idle: ThreadPoolExecutor) -> None:
    """Read what there is. Reading waits in `idle`; who holds the store's lock must not, for others wait for that."""
    while True:
        place = store.place
        batch = read(folder, place) if store.behind() > ARREARS else idle.submit(read, folder, place).result()
        if batch is None:
            return
        store.put(batch)


def yield_to_all() -> None:
    """Let this thread run when no other wants the processor (SCHED_IDLE, see sched(7))."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, 0, LEAST)
