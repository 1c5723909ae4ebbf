ALTER TABLE users ADD COLUMN name TEXT;         -- what they want to be called, if they said so

-- A link by which one person joins an organization. Of its secret only the SHA-256 is kept.
CREATE TABLE invitations (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  secret_hash      TEXT NOT NULL UNIQUE,
  email            TEXT,                         -- lower case; absent: whoever has the link
  role             TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin')),
  created_by       TEXT NOT NULL REFERENCES users (id),
  created_at       BIGINT NOT NULL,
  expires_at       BIGINT NOT NULL,
  accepted_at      BIGINT,
  accepted_by      TEXT,
  revoked_at       BIGINT,
  CHECK (accepted_at IS NULL OR revoked_at IS NULL),
  CHECK ((accepted_at IS NULL) = (accepted_by IS NULL))
);
CREATE INDEX invitations_by_organization ON invitations (organization_id, id);
CREATE INDEX invitations_open_by_inviter ON invitations (organization_id, created_by) WHERE accepted_at IS NULL AND revoked_at IS NULL;
CREATE INDEX invitations_by_expiry ON invitations (expires_at);
