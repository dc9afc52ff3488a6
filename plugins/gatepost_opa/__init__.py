"""Decisions from an Open Policy Agent: a Rego policy evaluated in process, or an OPA server.

    [plugins.opa]
    policy = "policy"                  # a folder, or a bundle (.tar.gz): *.rego and data.json
    decision = "gatepost/decision"     # data.gatepost.decision

    [plugins.opa]
    url = "https://opa.internal:8181"
    ca = "opa-ca.pem"
    token = "env:OPA_TOKEN"

`gatepost_opa.document` says what a policy is told, `gatepost_opa.decision` what it may answer. Whatever is not a
decision (no answer in time, an error, another shape) is a denial that says so.
"""

from gatepost_opa.plugin import Opa, OpaConfig

__all__ = ["Opa", "OpaConfig"]
