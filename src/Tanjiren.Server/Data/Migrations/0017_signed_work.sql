-- Keys that sign assignments, after the first: that one is 'signing-es256' of server_secrets, which workstations get when they pair and which goes on to sign for their keys.
CREATE TABLE work_keys (
  number        INTEGER PRIMARY KEY CHECK (number >= 2),  -- two servers that make the next one at once: one of them does
  private_key   {blob} NOT NULL,                          -- PKCS#8
  announcement  TEXT NOT NULL,                            -- JWS by the key before it
  created_at    BIGINT NOT NULL
);

-- The approval that a claim started under, so that its answer can be repeated; and what its workstation signed when it ended.
ALTER TABLE step_claims ADD COLUMN approval_id TEXT;
ALTER TABLE step_claims ADD COLUMN receipt TEXT;
