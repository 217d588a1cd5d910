-- Times are milliseconds since the Unix epoch, UTC. Identifiers are UUIDs in their hyphenated text form.
CREATE TABLE users (
    id         TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL UNIQUE,
    tenant     TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id           TEXT PRIMARY KEY NOT NULL,
    user_id      TEXT REFERENCES users (id) ON DELETE CASCADE,
    started_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    ended_at     INTEGER
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id, started_at);

-- One row per request, whatever its end. `session` and `user` are what the caller named: they are not required to
-- stand in the tables above, so that a request is recorded even when its caller is unknown.
CREATE TABLE interactions (
    id           TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    user         TEXT,
    session      TEXT,
    modality     TEXT NOT NULL,
    processor    TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    content_bytes INTEGER NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('succeeded', 'degraded', 'failed')),
    cache        TEXT NOT NULL CHECK (cache IN ('hit', 'miss', 'coalesced', 'bypassed')),
    served_by    TEXT,
    attempts     INTEGER NOT NULL,
    quality      REAL NOT NULL,
    error_kind   TEXT,
    error        TEXT,
    started_at   INTEGER NOT NULL,
    duration_us  INTEGER NOT NULL
) STRICT;
CREATE INDEX interactions_by_time ON interactions (started_at);
CREATE INDEX interactions_by_tenant ON interactions (tenant, started_at);

CREATE TABLE model_cache (
    key         TEXT PRIMARY KEY NOT NULL,
    producer    TEXT NOT NULL,
    body        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER
) STRICT;
CREATE INDEX model_cache_by_expiry ON model_cache (expires_at) WHERE expires_at IS NOT NULL;
