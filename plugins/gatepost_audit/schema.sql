-- `sequence` is that of a record's entry in the journal, so rows are added at a table's end, and the oldest go first.
-- Columns of type BLOB are MessagePack, as in the journal.

CREATE TABLE sessions (
    time INTEGER NOT NULL,
    session TEXT NOT NULL UNIQUE,
    worker INTEGER NOT NULL,
    client TEXT NOT NULL,
    protocol TEXT NOT NULL,
    target TEXT NOT NULL,
    user TEXT NOT NULL,
    database TEXT NOT NULL,
    application TEXT NOT NULL,
    tls TEXT NOT NULL,
    identity TEXT NOT NULL,
    roles BLOB NOT NULL,
    issuer TEXT NOT NULL,
    method TEXT NOT NULL,
    acting_for TEXT NOT NULL,
    sequence INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE ends (
    time INTEGER NOT NULL,
    session TEXT NOT NULL UNIQUE,
    code INTEGER NOT NULL,
    text TEXT NOT NULL,
    sequence INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE statements (
    time INTEGER NOT NULL,
    session TEXT NOT NULL,
    number INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    text TEXT NOT NULL,
    original BLOB NOT NULL,
    binds BLOB NOT NULL,
    preparation INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    plugin TEXT NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT NOT NULL,
    effect TEXT NOT NULL,
    facts BLOB NOT NULL,
    risk INTEGER NOT NULL,
    risks BLOB NOT NULL,
    attributes BLOB NOT NULL,
    sequence INTEGER PRIMARY KEY,
    UNIQUE (session, number)
) STRICT;
CREATE INDEX statements_by_time ON statements (time);

-- The bytes from `part` to before `stop` of all that the session was shown stand in the journal at the outcome itself.
CREATE TABLE outcomes (
    time INTEGER NOT NULL,
    session TEXT NOT NULL,
    number INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    size INTEGER NOT NULL,
    received INTEGER NOT NULL,
    duration REAL NOT NULL,
    tag TEXT NOT NULL,
    error TEXT NOT NULL,
    message TEXT NOT NULL,
    masked INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    start INTEGER NOT NULL,
    part INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    ran INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    sequence INTEGER PRIMARY KEY,
    UNIQUE (session, number)
) STRICT;

-- Where in the journal the other bytes stand that a session was shown: from `start` to before `stop` of all of them.
CREATE TABLE recordings (
    session TEXT NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    sequence INTEGER PRIMARY KEY,
    UNIQUE (session, start)
) STRICT;

CREATE TABLE events (
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    who TEXT NOT NULL,
    detail TEXT NOT NULL,
    sequence INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE changes (
    time INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    name TEXT NOT NULL,
    detail TEXT NOT NULL,
    is_done INTEGER NOT NULL,
    sequence INTEGER PRIMARY KEY
) STRICT;

-- Its one row says from which entry on, and up to where, the journal has been read.
CREATE TABLE place (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    first INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    head BLOB NOT NULL
) STRICT;
