"""PostgreSQL's wire protocol, 3.0 and 3.2, between a client and a database."""

from gatepost_postgres.adapter import ADAPTER

__all__ = ["ADAPTER"]
