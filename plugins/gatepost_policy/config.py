"""`[plugins.policy]`: what the configuration may say.

[plugins.policy.roles.support]
allow = [
  { do = "read", on = ["public.customers(id, name)", "public.orders"], rows = 500 },
  { do = "update", on = "public.orders(state)" },
]
deny = [{ do = "all", on = "*.payroll_*" }]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Generic, Self, TypeAlias, TypeVar

from msgspec import Meta, Struct

from gatepost_policy.patterns import Glob, Pattern
from gatepost_policy.verbs import COLUMN_VERBS, GROUPS, Verb
from gatepost_policy.when import Hours, Network

T = TypeVar("T")

Count: TypeAlias = Annotated[int, Meta(ge=1)]


class Several(Generic[T]):
    """One text of its kind, or a list of them."""

    parse: Callable[[object], T]

    def __init__(self, values: Sequence[T]) -> None:
        self._values = tuple(values)

    @classmethod
    def from_toml(cls, value: object, folder: Path) -> Self:
        texts = value if isinstance(value, list) else [value]
        if not texts:
            raise ValueError("expected at least one")
        return cls([cls.parse(text) for text in texts])

    def __iter__(self) -> Iterator[T]:
        return iter(self._values)


def _verbs(text: object) -> tuple[str, frozenset[Verb]]:
    if isinstance(text, str):
        if text in GROUPS:
            return text, GROUPS[text]
        if text in set(Verb):
            return text, frozenset({Verb(text)})
    raise ValueError(f"expected one or more of {', '.join((*GROUPS, *Verb))}")


def _target(text: object) -> Glob:
    if not isinstance(text, str) or not 0 < len(text) <= 64:
        raise ValueError("expected names of targets, in which * stands for any characters")
    return Glob(text)


class Verbs(Several[tuple[str, frozenset[Verb]]]):
    """Verbs, and groups of them."""

    parse = staticmethod(_verbs)

    @property
    def all(self) -> frozenset[Verb]:
        return frozenset().union(*(verbs for _, verbs in self))

    @property
    def named(self) -> frozenset[Verb]:
        """Those that stand there by themselves."""
        return frozenset(Verb(name) for name, _ in self if name not in GROUPS)


class Patterns(Several[Pattern]):
    """Patterns of what things are done to."""

    parse = staticmethod(Pattern.parse)


class Targets(Several[Glob]):
    """Names of targets."""

    parse = staticmethod(_target)

    def hold(self, target: str) -> bool:
        return any(glob.matches(target) for glob in self)


EVERYWHERE = Targets([Glob("*")])


class RuleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a role's deny rules.

    Attributes:
        do: verbs, or groups of them: "read" is select and copy; "write" is insert, update, delete, merge and truncate;
            "all" is all.
        on: what they are done to: tables as "schema.table(column, column)"; for "call", functions; for "set", settings;
            for what has no name, "*".
        targets: on which targets the rule holds.
        hours, networks: when, and for clients from where, the rule holds.
    """

    do: Verbs
    on: Patterns
    targets: Targets = EVERYWHERE
    hours: Hours | None = None
    networks: tuple[Network, ...] = ()

    def __post_init__(self) -> None:
        if any(pattern.columns for pattern in self.on) and not self.do.all <= COLUMN_VERBS:
            raise ValueError(f"columns go with {', '.join(sorted(COLUMN_VERBS))} and no other verb")


class AllowConfig(RuleConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a role's allow rules.

    Attributes:
        rows: how many rows one statement may return.
        unbounded: whether a statement may touch all rows, without WHERE or LIMIT; by default a select may, and no
            update and no delete.
    """

    rows: Count | None = None
    unbounded: bool | None = None


class RoleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[plugins.policy.roles.NAME]`. What no rule allows is denied.

    Attributes:
        allow, deny: the rules.
        search_path: the schemas that names without one may mean, where the catalogue does not tell.
        require_catalogue: deny what touches tables or functions while the catalogue is not known, for names in a text
            prove nothing of views and search paths. By default true if a rule has columns, or denies anything.
        rows: how many rows one statement may return, where its rules do not say.
        max_length: characters of the longest statement.
        max_depth: how deeply queries may be nested, 1 for a plain one.
        hours, networks: when, and for clients from where, the role allows anything.
    """

    allow: tuple[AllowConfig, ...] = ()
    deny: tuple[RuleConfig, ...] = ()
    search_path: tuple[str, ...] = ("public",)
    require_catalogue: bool | None = None
    rows: Count | None = None
    max_length: Count | None = None
    max_depth: Count | None = None
    hours: Hours | None = None
    networks: tuple[Network, ...] = ()


class RiskConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[plugins.policy.risk]`: what makes a statement's score of risk greater.

    Attributes:
        sensitive: columns, as "schema.table(column, column)"; reading them all at once is a risk.
        hours: the hours of work; what is risky at all is riskier outside.
    """

    sensitive: Patterns = Patterns([])
    hours: Hours | None = None


class PolicyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[plugins.policy]`."""

    roles: dict[str, RoleConfig] = {}
    risk: RiskConfig = RiskConfig()
