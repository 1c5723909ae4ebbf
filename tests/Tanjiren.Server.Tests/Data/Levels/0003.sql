UPDATE users SET name = 'Bob' WHERE id = 'usr_00000000000000000000000002';
INSERT INTO invitations (id, organization_id, secret_hash, email, role, created_by, created_at, expires_at) VALUES
  ('inv_00000000000000000000000001', 'org_00000000000000000000000001', 'secret', 'eve@example.test', 'viewer', 'usr_00000000000000000000000001', {now}, 9000000000000);
