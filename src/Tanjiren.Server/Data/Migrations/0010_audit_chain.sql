-- The audit chain: a row is sealed within a second of its commit, in the order in which the sealer sees it; see docs/concepts/audit.md.
ALTER TABLE audit_events ADD COLUMN chain_version INTEGER;   -- of the encoding that the hash is over; absent: not sealed yet
ALTER TABLE audit_events ADD COLUMN chain_seq BIGINT;        -- in the chain of its organization, from 1
ALTER TABLE audit_events ADD COLUMN previous_hash TEXT;
ALTER TABLE audit_events ADD COLUMN hash TEXT;
CREATE INDEX audit_events_unsealed ON audit_events (organization_id, id) WHERE chain_seq IS NULL;
-- Two sealers at once: the lock of the chain's row decides; this would refuse what it let through.
CREATE UNIQUE INDEX audit_events_sealed ON audit_events (coalesce(organization_id, 'server'), chain_seq) WHERE chain_seq IS NOT NULL;

CREATE TABLE audit_chains (
  chain            TEXT PRIMARY KEY,               -- the organization's id; 'server': rows of none
  head_seq         BIGINT NOT NULL,                -- the last row that is sealed
  head_hash        TEXT NOT NULL,
  head_at          BIGINT NOT NULL,
  head_signature   TEXT NOT NULL,
  start_seq        BIGINT NOT NULL,                -- the last row that retention deleted, 0: none
  start_hash       TEXT NOT NULL,
  start_at         BIGINT NOT NULL,
  start_signature  TEXT NOT NULL,
  CHECK (start_seq BETWEEN 0 AND head_seq)
);

-- Since when a task waits for its organization's owner to resume, after a restore.
ALTER TABLE tasks ADD COLUMN held_at BIGINT;
CREATE INDEX tasks_held ON tasks (organization_id, id) WHERE held_at IS NOT NULL;

-- Retention.
ALTER TABLE tasks ADD COLUMN logs_deleted_at BIGINT;
CREATE INDEX tasks_by_end ON tasks (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX tasks_with_logs_by_end ON tasks (ended_at) WHERE ended_at IS NOT NULL AND logs_deleted_at IS NULL;
