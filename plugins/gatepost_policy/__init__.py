"""Least privilege by statement: roles whose rules say what may be done to which tables, columns and functions."""

from gatepost_policy.config import PolicyConfig
from gatepost_policy.plugin import Policy

__all__ = ["Policy", "PolicyConfig"]
