-- Requests for another key of a workstation, and, where they were approved, its chain of keys. The key that it was paired with is the chain's first and stands in
-- instance_keys alone.
CREATE TABLE key_rotations (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  instance_id      TEXT NOT NULL REFERENCES instances (id),
  kind             TEXT NOT NULL CHECK (kind IN ('rotation', 'recovery')),
  state            TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'withdrawn')),
  old_jkt          TEXT NOT NULL,                -- the active key when it was asked
  new_jkt          TEXT NOT NULL,
  new_x            TEXT NOT NULL,
  new_y            TEXT NOT NULL,
  statement        TEXT NOT NULL,                -- JWS by the old key; in a recovery by the new one
  code_hash        TEXT,                         -- of the recovery code that it came with
  host_name        TEXT,
  requested_at     BIGINT NOT NULL,
  expires_at       BIGINT NOT NULL,
  tries            INTEGER NOT NULL DEFAULT 0,   -- fingerprints that did not match
  decided_by       TEXT,                         -- absent: nobody, five tries did
  decided_at       BIGINT,
  reason           TEXT,
  number           INTEGER,                      -- its place in the chain, from 1
  approval         TEXT,                         -- JWS by the server
  CHECK ((state = 'approved') = (number IS NOT NULL)),
  CHECK ((number IS NULL) = (approval IS NULL)),
  CHECK ((kind = 'recovery') = (code_hash IS NOT NULL)),
  CHECK (state <> 'approved' OR decided_by IS NOT NULL),
  UNIQUE (instance_id, number)
);
-- Of two requests that wait, an admin could mean one and approve the other.
CREATE UNIQUE INDEX key_rotations_one_pending ON key_rotations (instance_id) WHERE state = 'pending';
CREATE INDEX key_rotations_by_key ON key_rotations (instance_id, new_jkt);
CREATE INDEX key_rotations_by_code ON key_rotations (code_hash) WHERE code_hash IS NOT NULL;
CREATE INDEX key_rotations_by_expiry ON key_rotations (expires_at) WHERE state <> 'approved';

-- Whether another key took its place by a rotation: its holder is told to go on with that one.
ALTER TABLE instance_keys ADD COLUMN rotated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pairing_codes ADD COLUMN kind TEXT NOT NULL DEFAULT 'pairing' CHECK (kind IN ('pairing', 'recovery'));
