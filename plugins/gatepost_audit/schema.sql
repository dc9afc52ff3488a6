CREATE TABLE sessions (
    time INTEGER NOT NULL,
    session TEXT PRIMARY KEY,
    worker INTEGER NOT NULL,
    client TEXT NOT NULL,
    protocol TEXT NOT NULL,
    target TEXT NOT NULL,
    user TEXT NOT NULL,
    database TEXT NOT NULL,
    application TEXT NOT NULL,
    tls TEXT NOT NULL,
    identity TEXT NOT NULL,
    roles TEXT NOT NULL,
    issuer TEXT NOT NULL,
    method TEXT NOT NULL,
    acting_for TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    segment INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_sequence ON sessions (sequence);

CREATE TABLE ends (
    time INTEGER NOT NULL,
    session TEXT PRIMARY KEY,
    code INTEGER NOT NULL,
    text TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    segment INTEGER NOT NULL
) STRICT;

CREATE TABLE statements (
    time INTEGER NOT NULL,
    session TEXT NOT NULL,
    number INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    text TEXT NOT NULL,
    original TEXT,
    binds TEXT NOT NULL,
    preparation INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    plugin TEXT NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT NOT NULL,
    effect TEXT NOT NULL,
    verbs TEXT NOT NULL,
    objects TEXT NOT NULL,
    functions TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    judgement TEXT NOT NULL,
    count INTEGER NOT NULL,
    bounded TEXT NOT NULL,
    columns TEXT NOT NULL,
    calls TEXT NOT NULL,
    apart TEXT NOT NULL,
    settings TEXT NOT NULL,
    predicates TEXT,
    depth INTEGER NOT NULL,
    resolved INTEGER NOT NULL,
    outputs TEXT NOT NULL,
    risk INTEGER NOT NULL,
    risks TEXT NOT NULL,
    attributes TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    PRIMARY KEY (session, number)
) STRICT;
CREATE INDEX statements_by_sequence ON statements (sequence);
CREATE INDEX statements_by_time ON statements (time);

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
    ran INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    PRIMARY KEY (session, number)
) STRICT;

-- Where in the journal the bytes stand that a session was shown: from `start` to before `stop` of all of them.
CREATE TABLE recordings (
    session TEXT NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    head BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    PRIMARY KEY (session, start)
) STRICT;

CREATE TABLE events (
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    who TEXT NOT NULL,
    detail TEXT NOT NULL,
    sequence INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL
) STRICT;

-- Its one row says from which segment on, and up to where, the journal has been read.
CREATE TABLE place (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    first INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    head BLOB NOT NULL
) STRICT;
