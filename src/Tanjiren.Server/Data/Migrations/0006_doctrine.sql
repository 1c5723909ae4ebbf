-- The doctrine of each organization: every version that there was, the highest one is in force. A row is never changed. Who writes version N + 1 has read
-- version N; of two who did, the key lets one in.
CREATE TABLE doctrine_versions (
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  version          BIGINT NOT NULL CHECK (version >= 1),
  document         TEXT NOT NULL,                    -- YAML that was valid when it was written
  created_by       TEXT REFERENCES users (id),       -- absent: the organization started with it
  created_at       BIGINT NOT NULL,
  PRIMARY KEY (organization_id, version)
);
-- Organizations from before there were doctrines go on as they were: without a rule.
INSERT INTO doctrine_versions (organization_id, version, document, created_by, created_at)
  SELECT id, 1, '# No rules: every task runs at once.', NULL, created_at FROM organizations;
