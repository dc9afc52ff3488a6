"""MySQL's and MariaDB's wire protocol between a client and a database."""

from gatepost_mysql.adapter import ADAPTER

__all__ = ["ADAPTER"]
