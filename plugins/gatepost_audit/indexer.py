"""The indexer: the process that feeds the store from the journal, when others leave it the time."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import NoReturn

from gatepost_audit.journal import Damage
from gatepost_audit.store import Store

log = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between looks at the journal."""
PATIENCE = 30.0
"""Seconds between attempts after the store could not be fed."""
NICENESS = 10


def main(folder: Path) -> NoReturn:
    """The indexer's process. SIGTERM may end it anywhere: a transaction is done or it is not."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    os.nice(NICENESS)
    while True:
        try:
            with Store(folder) as store:
                while True:
                    store.catch_up()
                    time.sleep(INTERVAL)
        except (sqlite3.Error, OSError) as error:
            log.error("the store cannot be fed: %s", error)
        except Damage as damage:
            log.error("the store and the journal do not agree; see `gatepost audit verify`: %s", damage)
        time.sleep(PATIENCE)
