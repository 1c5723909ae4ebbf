INSERT INTO oauth_grants (id, user_id, organization_id, client_id, scope, machine_name, created_at, expires_at, refresh_newest, refresh_parent, rotated_at) VALUES
  ('gnt_00000000000000000000000001', 'usr_00000000000000000000000002', 'org_00000000000000000000000001', 'tanvrit-cli', 'all', 'laptop', {now}, 9000000000000, 1, 0, {now});
INSERT INTO oauth_refresh_tokens (secret_hash, grant_id, number, expires_at) VALUES ('refresh', 'gnt_00000000000000000000000001', 1, 9000000000000);
INSERT INTO oauth_device_codes (device_code_hash, user_code_hash, client_id, scope, state, grant_id, interval_ms, created_at, expires_at) VALUES
  ('device', 'user', 'tanvrit-cli', 'all', 'approved', 'gnt_00000000000000000000000001', 5000, {now}, 9000000000000);
INSERT INTO credentials (id, kind, user_id, organization_id, grant_id, name, secret_hash, created_at, expires_at) VALUES
  ('tok_00000000000000000000000003', 'oauth', 'usr_00000000000000000000000002', 'org_00000000000000000000000001', 'gnt_00000000000000000000000001', 'laptop', 'hash 3', {now}, 9000000000000);
UPDATE instances SET grant_id = 'gnt_00000000000000000000000001';
