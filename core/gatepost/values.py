"""What hooks see: frozen values that say who, what and what came of it.

None of their reprs shows a secret, a statement's text or a cell.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Secret:
    """A text that no repr, log or pickle shows. Compares in constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a secret is never a key

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")


class Identity(Struct, frozen=True, kw_only=True):
    """Who the client is proven to be.

    Attributes:
        name: the principal's unique name (PCI DSS 8.2.1).
        roles: what it may be, most important first; plugins give them meaning.
        issuer: the plugin that vouches for it.
        method: how it was proven: "scram-sha-256", "bearer", "certificate", …
        acting_for: the human on whose behalf the agent works, or "" (PCI DSS 8.6.1).
        expires_at: Unix seconds after which the session ends, or None.
        claims: what else the issuer said, for plugins and the record; never a secret.
    """

    name: str
    roles: tuple[str, ...] = ()
    issuer: str = ""
    method: str = ""
    acting_for: str = ""
    expires_at: float | None = None
    claims: Mapping[str, str] = {}


class CredentialKind(StrEnum):
    """The kinds of credentials that a plugin can judge; it lists them in its `judges` attribute."""

    PASSWORD = "password"  # noqa: S105
    BEARER = "bearer"
    CERTIFICATE = "certificate"
    SCRAM_SHA_256 = "scram-sha-256"
    MYSQL_NATIVE = "mysql-native"
    CACHING_SHA2 = "caching-sha2"


class Credentials(Struct, frozen=True, kw_only=True):
    """By what the client claims to be `user`.

    Attributes:
        kind: what the client offers. For a challenge exchange (SCRAM and the like) `secret` is None: a
            plugin that knows the user answers with a `Verifier`, and the protocol carries the exchange out.
        user: the name that the client claims, as it sent it; not proven.
        secret: the password or the token.
        certificate: the client certificate in DER, its chain already verified against the configured CA.
    """

    kind: CredentialKind
    user: str
    secret: Secret | None = None
    certificate: bytes = b""

    def __repr__(self) -> str:
        return f"Credentials(kind={self.kind.value!r})"


class Verifier(Struct, frozen=True, kw_only=True):
    """What proves a password without holding it, and whose it is.

    A plugin fills in what belongs to the kinds that it judges.

    Attributes:
        identity: who the client is once the exchange has succeeded.
        salt, iterations, stored_key, server_key: SCRAM's (RFC 5802, section 3).
        mysql_native: the password's SHA-1, applied two times.
        caching_sha2: the password's SHA-256, applied two times.
    """

    identity: Identity
    salt: bytes = b""
    iterations: int = 0
    stored_key: bytes = b""
    server_key: bytes = b""
    mysql_native: bytes = b""
    caching_sha2: bytes = b""

    def __repr__(self) -> str:
        return f"Verifier(identity={self.identity.name!r})"


class Restriction(Struct, frozen=True, kw_only=True):
    """What a session may do upstream is less than its login allows; the database itself enforces it.

    Attributes:
        read_only: every transaction is read-only, and the session cannot change that.
    """

    read_only: bool = False


class UpstreamCredentials(Struct, frozen=True, kw_only=True):
    """As whom gatepost logs in to the database. `database` "" means the target's, else the client's."""

    user: str
    password: Secret | None = None
    database: str = ""


class Target(Struct, frozen=True, kw_only=True):
    """A database behind the gate, by its name in the configuration."""

    name: str
    protocol: str
    host: str
    port: int
    database: str = ""


class Session(Struct, frozen=True, kw_only=True):
    """One client's connection. Replaced, not changed, when more is known of it.

    Attributes:
        id: unique over all workers and restarts; sorts by time.
        number: unique among the sessions that live; a protocol shows it as its connection id.
        client: the peer's address, "host:port".
        started_at: Unix seconds.
        tls: version and cipher towards the client, or "".
        user, database, application: what the client claims; not proven.
        identity: who it is, once proven.
    """

    id: str
    number: int
    protocol: str
    target: str
    client: str
    started_at: float
    tls: str = ""
    user: str = ""
    database: str = ""
    application: str = ""
    identity: Identity | None = None


class Effect(StrEnum):
    """What a statement can do, the strongest of all its parts."""

    READ = "read"
    WRITE = "write"
    DEFINE = "define"
    CONTROL = "control"
    ADMINISTER = "administer"
    UNKNOWN = "unknown"


class Use(Struct, frozen=True, kw_only=True, gc=False):
    """A verb on an object: ("select", "public.cards", ("pan",)).

    Attributes:
        verb: what is done with it.
        name: the object's, qualified by its schema where the text or the catalogue tells. Where it is not known what is
            reached, a part is `*`: "public.*" may be any object of the schema, "*.*" any at all.
        columns: those that the verb touches, None where they are not known.
        is_bounded: a WHERE, a LIMIT or a join's condition bounds the rows that it touches.
        via: the view, function or partition that leads to it, "" for what the statement's own text names.
    """

    verb: str
    name: str
    columns: tuple[str, ...] | None = None
    is_bounded: bool = True
    via: str = ""


class Origin(Struct, frozen=True, gc=False):
    """A base table's column. `relation` is qualified by its schema where the catalogue tells, "" where nothing does."""

    relation: str
    column: str


class Output(Struct, frozen=True, kw_only=True, gc=False):
    """An output column by position.

    Attributes:
        origins: the base columns that its values derive from, None where that cannot be proven.
        is_direct: its values are those of its one origin, unchanged; a partition's column is its parents' too.
    """

    name: str
    origins: tuple[Origin, ...] | None = None
    is_direct: bool = False


class Facts(Struct, frozen=True, kw_only=True, gc=False):
    """What the text of a statement means, as far as it can be proven without running it.

    Attributes:
        effect: the strongest effect of any part; `UNKNOWN` where nothing can be proven.
        statements: how many statements the text holds.
        verbs: what each of them is, in order: "select", "insert", "copy_to", "set", "begin", ….
        objects: tables and the like, with the verb and the columns on them.
        functions: names of the functions called, lower case, schema-qualified where the text does so.
        calls: those of them that may do more than read, or of which that is not known.
        apart: what `effect` would be if `calls` did nothing; None where that is not told.
        columns: every column name that occurs anywhere, lower case unless quoted; "*" where it can be any.
        renamed: names that it gives to columns, where the text alone tells: what is called so need not be the column of
            that name. "*" is one of them where a list gives any.
        outputs: the output columns of a single query, or () where the text does not tell.
        predicates: the base columns by which it decides which rows come, in what order or in which groups; None where
            that cannot be proven. By which a view's definition decides, who asks cannot choose.
        is_resolved: names are those of the database's catalogue, views and functions followed; if not, they are those
            of the text.
        may_hide: what it reads may show columns of other tables under names of its own, and the catalogue that would
            tell is to be had, but not known now.
        depth: how deeply queries are nested in it, 1 for a plain one.
        settings: session settings that it changes, with the new value or None (RESET, or no constant).
        fingerprint: the same for texts that differ in literals only.
        reason: why `effect` is UNKNOWN, or which part decided it.
    """

    effect: Effect
    statements: int = 1
    verbs: tuple[str, ...] = ()
    objects: tuple[Use, ...] = ()
    functions: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    apart: Effect | None = None
    columns: frozenset[str] = frozenset()
    renamed: frozenset[str] = frozenset()
    outputs: tuple[Output, ...] = ()
    predicates: tuple[Origin, ...] | None = None
    is_resolved: bool = False
    may_hide: bool = False
    depth: int = 1
    settings: tuple[tuple[str, str | None], ...] = ()
    fingerprint: str = ""
    reason: str = ""


class Kind(StrEnum):
    """What a value is, whatever its protocol calls the type."""

    TEXT = "text"
    BYTES = "bytes"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    JSON = "json"
    ARRAY = "array"
    RECORD = "record"
    TIME = "time"
    BOOLEAN = "boolean"
    OTHER = "other"


class Scalar(Struct, frozen=True):
    """One value that holds no others, as text. For BYTES the text is hexadecimal, two digits a byte.

    `capacity` is the range that an INTEGER's type can hold, as a number of bytes, else 0.
    """

    kind: Kind
    text: str
    capacity: int = 0

    def __repr__(self) -> str:
        return f"Scalar({self.kind.value}, {len(self.text)} characters)"


class Risk(Struct, frozen=True, kw_only=True):
    """How much harm a statement could do, from 0 to 100, and why: one short phrase each, which quote no value."""

    score: int
    reasons: tuple[str, ...] = ()


class Limit(Struct, frozen=True, kw_only=True):
    """How many rows a statement may show.

    The row that is too many, and all behind it, stay back; the statement then ends in an ordinary error that says
    so. A transaction block that it is in is left aborted where the database knows that; elsewhere what the statement
    changed is undone by itself, or the error says that it is not. Rows of COPY count too, header and trailer among
    them; those of a cursor count for all its FETCHes together.

    Attributes:
        rows: at most so many.
        rule: the rule that sets the limit, as its owner would look it up.
        hint: what to do instead.
        plugin: who set it; filled in by gatepost.
    """

    rows: int
    rule: str = ""
    hint: str = ""
    plugin: str = ""


class Statement(Struct, frozen=True, kw_only=True):
    """What a client asks for.

    Attributes:
        number: counts the statements of a session from 1.
        text: the SQL, exactly as it will run.
        parameters: bound values, None for NULL; each value is the scalars that it is made of.
        attributes: what the client says of it besides: names, one of which may come twice, and values like those of
            parameters. SQL may read them.
        is_preparation: it is only prepared; its execution is asked again, with parameters.
        facts: what the text means.
        original: the text before a plugin rewrote it, else None.
        risk: what a plugin before this one has found, else None.
        limit: the strictest that a plugin before this one has set, else None.
    """

    number: int
    text: str
    facts: Facts
    parameters: tuple[tuple[Scalar, ...] | None, ...] = ()
    attributes: tuple[tuple[str, tuple[Scalar, ...] | None], ...] = ()
    is_preparation: bool = False
    original: str | None = None
    risk: Risk | None = None
    limit: Limit | None = None

    def __repr__(self) -> str:
        return f"Statement(number={self.number}, effect={self.facts.effect.value!r}, {len(self.text)} characters)"


class Allow(Struct, frozen=True):
    """The statement may run. There is one: `ALLOW`."""


ALLOW = Allow()


class DenyCode(StrEnum):
    """Why a statement does not run, in words that each protocol maps to its own error codes."""

    DENIED = "denied"
    CANCELLED = "cancelled"
    UNAVAILABLE = "unavailable"
    SYNTAX = "syntax"


class Deny(Struct, frozen=True, kw_only=True):
    """The statement, or the login, is refused; the texts are for a language model to act on.

    Attributes:
        reason: what was refused, one sentence. It quotes no value.
        rule: the rule that decided, as its owner would look it up.
        hint: what to do instead.
        plugin: who refused; filled in by gatepost.
    """

    reason: str
    rule: str = ""
    hint: str = ""
    code: DenyCode = DenyCode.DENIED
    plugin: str = ""


class Rewrite(Struct, frozen=True, kw_only=True):
    """Run this text instead, if all plugins let it. Parameters stay as they are."""

    text: str
    reason: str = ""
    plugin: str = ""

    def __repr__(self) -> str:
        return f"Rewrite(plugin={self.plugin!r}, {len(self.text)} characters)"


Verdict: TypeAlias = Allow | Deny | Rewrite


class Column(Struct, frozen=True, kw_only=True):
    """A result's column.

    Attributes:
        name: as the client will see it.
        kind: what its values are; of an ARRAY's elements, `element`.
        is_text: its values travel as characters (a number in decimal digits is text; a binary bigint is not).
        type_name: the protocol's own name of the type, for the record.
        capacity: the range that an INTEGER's type can hold, as a number of bytes, else 0.
        origin: an opaque identity of the base column it comes from directly, equal for equal
            columns of one target, or None.
        base: the same by name, where the catalogue tells.
    """

    name: str
    kind: Kind
    is_text: bool
    element: Kind | None = None
    type_name: str = ""
    capacity: int = 0
    origin: tuple[int, int] | None = None
    base: Origin | None = None


class Result(Struct, frozen=True, kw_only=True):
    """A result's columns, before its rows.

    Attributes:
        is_copy: a row is a line of COPY, with one text column; or, in binary format, a tuple in one column, where its
            own columns are not known. A COPY of known columns in binary format is a result like others.
    """

    statement: Statement
    columns: tuple[Column, ...]
    is_copy: bool = False


class Interest(Struct, frozen=True, kw_only=True):
    """Which rows a plugin wants to see. Rows that no plugin wants leave as the bytes that came.

    Attributes:
        maybe: asked with the bytes of one or more whole rows, values and framing together; false only where
            none of them can matter. `re.compile(rb"…").search` is one. None: every row.
        columns: positions of columns that must be looked at whatever the bytes are (a tagged
            column, a binary number).

    A row is wanted if `maybe` says so, or if a cell in one of `columns` is not NULL. A faster
    `maybe` may answer for a whole chunk: true costs time, false is a promise.
    """

    NOTHING: ClassVar[Interest]
    EVERYTHING: ClassVar[Interest]

    maybe: Callable[[bytes], object] | None = None
    columns: frozenset[int] = frozenset()


def _nowhere(data: bytes) -> bool:
    return False


Interest.NOTHING = Interest(maybe=_nowhere)
Interest.EVERYTHING = Interest()


class Row(Protocol):
    """One row on its way out. A cell is decoded when it is asked for."""

    @property
    def columns(self) -> Sequence[Column]: ...

    def __len__(self) -> int: ...

    def raw(self, column: int) -> bytes | None:
        """The cell as it travels, None for NULL."""

    def scalars(self, column: int) -> tuple[Scalar, ...]:
        """The values that the cell is made of: itself, or the elements of an array or a record; () for NULL.

        JSON is one scalar of kind JSON. Raises UpstreamFault where the bytes are not of the column's type.
        """

    def replace(self, column: int, texts: Sequence[str | None]) -> None:
        """Put these texts in the place of the cell's scalars, one each, None for NULL.

        The cell keeps its type. Raises ValueError where the type cannot hold a text.
        """

    def redact(self, column: int, text: str) -> None:
        """Replace the whole cell, a NULL too, by `text` where its type can hold it, else by NULL."""

    def drop(self) -> None:
        """Let the row not leave."""


class RowBatch(Protocol):
    """All rows of a chunk in one buffer, for plugins that must be fast on every row.

    `offsets` and `lengths` are computed for all rows at once when a column is first asked for.
    """

    @property
    def columns(self) -> Sequence[Column]: ...

    @property
    def buffer(self) -> bytes:
        """The rows, framing included."""

    def __len__(self) -> int:
        """How many rows."""

    def offsets(self, column: int) -> NDArray[Any]:
        """Where each row's cell begins in `buffer`, int64."""

    def lengths(self, column: int) -> NDArray[Any]:
        """How long each row's cell is, in bytes, int64; -1 for NULL."""

    def patch(self, positions: NDArray[Any], values: NDArray[Any] | int, cells: int) -> None:
        """Overwrite single bytes of cells: same length, same framing. `cells` is how many cells that changes."""

    def locate(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int, int, int, int]]:
        """The cells that ascending, disjoint parts of `buffer`, each from its start to its end, have bytes of.

        Each comes as its row, its column, where in `buffer` it begins and ends, and where what it shares with the part
        does; one that several parts touch comes once for each. For a few places in a few rows this is quicker than
        `offsets`. Raises UpstreamFault where a row is not what its framing says.
        """

    def places(self, lengths: range) -> Iterable[tuple[Kind, int, Sequence[int]]]:
        """Where in `buffer` cells of such lengths begin, in columns of text and of integers that travel as text.

        They come by kind and length, and ascend. A glance finds them: there may be more, and where there are fewer
        ASCII digits than the length says, there may be no cell.
        """

    def rewrite(self, buffer: bytes, cells: int) -> None:
        """Put these bytes in the place of `buffer`: same length, same framing. `cells` is how many cells differ."""

    def overwrite(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        """Overwrite bytes from offsets in `buffer` on, each piece within one cell: same length, same framing."""

    def row(self, index: int) -> Row:
        """One row, to decode or to change at length."""

    def drop(self, index: int) -> None:
        """Let the row not leave."""

    def settle(self) -> None:
        """Let `buffer`, `offsets` and `lengths` show rows that were changed at length. For gatepost, between plugins:
        positions and rows from before are void."""


class NoticeKind(StrEnum):
    ERROR = "error"
    NOTICE = "notice"
    NOTIFICATION = "notification"
    PARAMETER = "parameter"
    TAG = "tag"
    COLUMN = "column"


class Notice:
    """A text from the server that is no row. `fields` may be changed in place.

    Attributes:
        kind: what it is.
        fields: its texts by name: "message", "detail", "hint", "where", "schema", "table", "column", "constraint",
            "query", … of an ERROR or NOTICE; "channel" and "payload"; "name" and "value"; "tag"; a COLUMN's "name" or
            "default".
        code: the server's error code, or "".
        is_about_text: it is an error in the statement's own text, and what it quotes is from there.
    """

    __slots__ = ("code", "fields", "is_about_text", "kind")

    def __init__(
        self, kind: NoticeKind, fields: dict[str, str], code: str = "", *, is_about_text: bool = False
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.code = code
        self.is_about_text = is_about_text


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a statement.

    Attributes:
        rows, bytes: how much of its answer left for the client; `bytes` counts rows alone.
        received: bytes of COPY data, or of a file, that the client sent for it.
        duration: seconds from the verdict to the end of the answer.
        tag: the server's own summary, such as "SELECT 20".
        error: the server's error code, or "" if it succeeded.
        message: the error's text, as the client saw it.
        masked: cells that a plugin changed.
        complete: the answer came to its end; False when the session ended first.
    """

    rows: int = 0
    bytes: int = 0
    received: int = 0
    duration: float = 0.0
    tag: str = ""
    error: str = ""
    message: str = ""
    masked: int = 0
    complete: bool = True


class PastStatement(Struct, frozen=True, kw_only=True):
    """A statement from the record: who asked for it, when (Unix seconds), and what became of it.

    Attributes:
        session: as it is recorded; claims and limits of the identity are not.
        statement: its text as it rests, so a literal may be masked; its facts are those that were judged.
        verdict: "allow", "deny" or "rewrite".
        rule: the rule that decided, or "".
    """

    at: float
    session: Session
    statement: Statement
    verdict: str
    rule: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """What a person changes of the gate itself by a command: an agent's credentials, say. No secret is in it.

    Attributes:
        action: the command, such as "agents add".
        name: what is changed, such as the agent's name.
        detail: to what, in words for a person.
        is_done: False for one that was announced and has failed then.
    """

    action: str
    name: str
    detail: str = ""
    is_done: bool = True


class EndCode(IntEnum):
    """How a session ended; values are stored, so they are never reused.

    KILLED: another session of the same identity asked for it.
    """

    CLIENT_LEFT = 0
    SERVER_CLOSED = 1
    REFUSED = 2
    CLIENT_FAULT = 3
    UPSTREAM_FAULT = 4
    PLUGIN_FAULT = 5
    TIMEOUT = 6
    SHUTDOWN = 7
    CANCEL_REQUEST = 8
    KILLED = 9


class Reason(Struct, frozen=True, kw_only=True):
    """Why a session ended. `text` is gatepost's own and safe to log."""

    code: EndCode
    text: str = ""


class Shown(Struct, frozen=True, kw_only=True):
    """One thing that a client was shown, decoded from a recording for a person to read.

    Attributes:
        kind: "columns", "row", "error", "notice", "notification", "tag", "copy" or "state".
        cells: the texts, None for NULL.
    """

    kind: str
    cells: tuple[str | None, ...] = ()
