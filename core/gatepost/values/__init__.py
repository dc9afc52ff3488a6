"""What hooks see: frozen values that say who, what and what came of it.

None of their reprs shows a secret, a statement's text or a cell.
"""

from gatepost.values.credentials import CredentialKind, Credentials, Identity, Secret, UpstreamCredentials, Verifier
from gatepost.values.facts import Effect, Facts, Origin, Output, Use
from gatepost.values.record import Change, PastStatement, Shown
from gatepost.values.results import Column, Interest, Notice, NoticeKind, Result, Row, RowBatch
from gatepost.values.scalars import Kind, Scalar
from gatepost.values.sessions import EndCode, Reason, Restriction, Session, Target
from gatepost.values.statements import Outcome, Statement
from gatepost.values.verdicts import ALLOW, Allow, Deny, DenyCode, Limit, Rewrite, Risk, Verdict

__all__ = [
    "ALLOW",
    "Allow",
    "Change",
    "Column",
    "CredentialKind",
    "Credentials",
    "Deny",
    "DenyCode",
    "Effect",
    "EndCode",
    "Facts",
    "Identity",
    "Interest",
    "Kind",
    "Limit",
    "Notice",
    "NoticeKind",
    "Origin",
    "Outcome",
    "Output",
    "PastStatement",
    "Reason",
    "Restriction",
    "Result",
    "Rewrite",
    "Risk",
    "Row",
    "RowBatch",
    "Scalar",
    "Secret",
    "Session",
    "Shown",
    "Statement",
    "Target",
    "UpstreamCredentials",
    "Use",
    "Verdict",
    "Verifier",
]
