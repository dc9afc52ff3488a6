"""gatepost's record: every session, statement and answer, on the disk before it takes effect."""

from gatepost_audit.plugin import Audit, AuditConfig

__all__ = ["Audit", "AuditConfig"]
