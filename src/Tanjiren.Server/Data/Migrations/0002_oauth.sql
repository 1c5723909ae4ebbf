-- One sign-in of a client by a person, in one organization. Everything that the client holds belongs to it, and ends with it.
CREATE TABLE oauth_grants (
  id               TEXT PRIMARY KEY,
  user_id          TEXT NOT NULL REFERENCES users (id),
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  client_id        TEXT NOT NULL,
  scope            TEXT NOT NULL,
  machine_name     TEXT,                             -- as the client told; nothing depends on it
  created_at       BIGINT NOT NULL,
  expires_at       BIGINT NOT NULL,                  -- of its newest refresh token; until the first one, of its device code
  refresh_newest   BIGINT NOT NULL DEFAULT 0,        -- number of the newest refresh token; 0 is the device code
  refresh_parent   BIGINT,                           -- number of the token that was exchanged for the newest
  rotated_at       BIGINT,                           -- when that one was exchanged first
  revoked_at       BIGINT,
  revoke_reason    TEXT CHECK (revoke_reason IN ('signed_out', 'refresh_reused', 'member_removed')),
  CHECK ((refresh_newest = 0) = (refresh_parent IS NULL)),
  CHECK ((refresh_parent IS NULL) = (rotated_at IS NULL)),
  CHECK ((revoked_at IS NULL) = (revoke_reason IS NULL))
);
CREATE INDEX oauth_grants_by_user ON oauth_grants (user_id, organization_id, id);

-- Every refresh token that was given out, so that one that is shown again is known for what it is.
CREATE TABLE oauth_refresh_tokens (
  secret_hash  TEXT PRIMARY KEY,
  grant_id     TEXT NOT NULL REFERENCES oauth_grants (id),
  number       BIGINT NOT NULL,
  expires_at   BIGINT NOT NULL,
  UNIQUE (grant_id, number)
);

-- RFC 8628: what a client shows to the server, and what its person types into the page /device.
CREATE TABLE oauth_device_codes (
  device_code_hash  TEXT PRIMARY KEY,
  user_code_hash    TEXT NOT NULL UNIQUE,
  client_id         TEXT NOT NULL,
  scope             TEXT NOT NULL,
  machine_name      TEXT,
  address           TEXT,
  state             TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
  grant_id          TEXT REFERENCES oauth_grants (id),
  interval_ms       BIGINT NOT NULL,
  last_polled_at    BIGINT,
  created_at        BIGINT NOT NULL,
  expires_at        BIGINT NOT NULL,
  CHECK ((state = 'approved') = (grant_id IS NOT NULL))
);
CREATE INDEX oauth_device_codes_by_age ON oauth_device_codes (expires_at);

-- A third kind of credential. SQLite can't change a CHECK, so the table is made anew; nothing refers to it.
CREATE TABLE credentials_new (
  id               TEXT PRIMARY KEY,
  kind             TEXT NOT NULL CHECK (kind IN ('session', 'token', 'oauth')),
  user_id          TEXT NOT NULL REFERENCES users (id),
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  grant_id         TEXT REFERENCES oauth_grants (id),   -- of an access token
  name             TEXT NOT NULL,
  secret_hash      TEXT NOT NULL UNIQUE,
  created_at       BIGINT NOT NULL,
  expires_at       BIGINT NOT NULL,
  last_used_at     BIGINT,
  revoked_at       BIGINT,
  CHECK ((kind = 'oauth') = (grant_id IS NOT NULL))
);
INSERT INTO credentials_new (id, kind, user_id, organization_id, name, secret_hash, created_at, expires_at, last_used_at, revoked_at)
  SELECT id, kind, user_id, organization_id, name, secret_hash, created_at, expires_at, last_used_at, revoked_at FROM credentials;
DROP TABLE credentials;
ALTER TABLE credentials_new RENAME TO credentials;
CREATE INDEX credentials_by_user ON credentials (user_id, organization_id);
CREATE INDEX credentials_by_grant ON credentials (grant_id) WHERE grant_id IS NOT NULL;

-- The sign-in that a workstation was registered with: when it is revoked, the workstation takes nothing more. Absent: paired by code, or registered with a
-- personal access token.
ALTER TABLE instances ADD COLUMN grant_id TEXT REFERENCES oauth_grants (id);
CREATE INDEX instances_by_grant ON instances (grant_id) WHERE grant_id IS NOT NULL;
