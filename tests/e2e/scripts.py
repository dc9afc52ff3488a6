"""Plugin scripts that several tests use."""

HOLDS = """
import asyncio
import logging
from gatepost import hookimpl

log = logging.getLogger("gatepost.script")

@hookimpl
def on_statement(session, statement):
    if "hold me" in statement.text:
        return hold(statement)

async def hold(statement):
    log.info("holding")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.info("let go")
        raise
"""

DENIES = """
from gatepost import Deny, hookimpl

@hookimpl
def on_statement(statement):
    values = {scalar.text for value in statement.parameters if value for scalar in value}
    if "forbidden" in statement.text or "forbidden" in values:
        return Deny(reason="this is forbidden", rule="tests: no forbidden", hint="Ask for something else.")
"""
