-- What a server of level 0012 may have left behind: a webhook, a message that arrived and one that waits.
INSERT INTO webhooks (organization_id, url, secret, server_url, created_at, updated_at, updated_by) VALUES
  ('org_00000000000000000000000001', 'https://receiver.invalid/', {bytes}, 'https://tanjiren.invalid', 1000, 1000, 'usr_00000000000000000000000001');
INSERT INTO webhook_deliveries (id, organization_id, event, approval_id, body, state, created_at, tries, last_try_at, last_status, next_try_at, ended_at) VALUES
  ('msg_00000000000000000000000001', 'org_00000000000000000000000001', 'webhook.test', NULL, '{}', 'delivered', 1000, 1, 1000, 200, NULL, 1000),
  ('msg_00000000000000000000000002', 'org_00000000000000000000000001', 'webhook.test', NULL, '{}', 'waiting', 1000, 1, 1000, 500, 9000000000000, NULL);
