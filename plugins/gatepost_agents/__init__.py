"""Credentials that gatepost itself issues to agents: `gatepost agents add NAME --role ROLE`."""

from gatepost_agents.plugin import Agents, AgentsConfig

__all__ = ["Agents", "AgentsConfig"]
