-- What a server of level 0001 may have left behind. Portable; {bytes} stands for the two bytes of "hi".
INSERT INTO organizations (id, name, created_at) VALUES ('org_00000000000000000000000001', 'local', 1000), ('org_00000000000000000000000002', 'other', 1000);
INSERT INTO users (id, email, password_hash, created_at) VALUES ('usr_00000000000000000000000001', 'ann@example.test', NULL, 1000), ('usr_00000000000000000000000002', 'bob@example.test', 'x', 1000);
INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES
  ('org_00000000000000000000000001', 'usr_00000000000000000000000001', 'owner', 1000), ('org_00000000000000000000000002', 'usr_00000000000000000000000002', 'owner', 1000),
  ('org_00000000000000000000000001', 'usr_00000000000000000000000002', 'member', 1000);
INSERT INTO credentials (id, kind, user_id, organization_id, name, secret_hash, created_at, expires_at, last_used_at, revoked_at) VALUES
  ('tok_00000000000000000000000001', 'token', 'usr_00000000000000000000000002', 'org_00000000000000000000000001', 'old', 'hash 1', 1000, 9000000000000, 2000, NULL),
  ('tok_00000000000000000000000002', 'session', 'usr_00000000000000000000000002', 'org_00000000000000000000000002', 'session', 'hash 2', 1000, 9000000000000, NULL, 3000);
INSERT INTO server_secrets (name, value, created_at) VALUES ('token-hmac', {bytes}, 1000);
INSERT INTO instances (id, organization_id, name, machine_id, tags, labels, max_concurrent, created_at) VALUES
  ('ws_00000000000000000000000001', 'org_00000000000000000000000001', 'old machine', NULL, '["a"]', '{"os":"linux"}', 2, 1000);
INSERT INTO instance_keys (id, instance_id, jkt, x, y, created_at) VALUES ('key_00000000000000000000000001', 'ws_00000000000000000000000001', 'jkt', 'x', 'y', 1000);
INSERT INTO pairing_codes (code_hash, instance_id, created_by, created_at, expires_at, used_at, used_jkt) VALUES
  ('code', 'ws_00000000000000000000000001', 'usr_00000000000000000000000001', 1000, 2000, 1500, 'jkt');
INSERT INTO instance_sessions (id, instance_id, machine_id, boot_id, host_name, opened_at, last_seen) VALUES
  ('ses_00000000000000000000000001', 'ws_00000000000000000000000001', 'm', 'b', 'h', 1000, tanjiren_now());
INSERT INTO selectors (id, organization_id, canonical) VALUES ('sel_00000000000000000000000001', 'org_00000000000000000000000001', '{"tags":["a"]}');

INSERT INTO tasks (id, organization_id, intent, mode, state, approval_status, spec, priority, created_by, created_at, started_at, ended_at, outcome_summary) VALUES
  ('task_00000000000000000000000001', 'org_00000000000000000000000001', 'done long ago', 'command', 'completed', 'not_required', '{spec}', 0, 'usr_00000000000000000000000001', {now}, {now}, {now}, 'Done.'),
  ('task_00000000000000000000000002', 'org_00000000000000000000000001', 'still waits', 'command', 'queued', 'not_required', '{spec}', 5, 'usr_00000000000000000000000001', {now}, NULL, NULL, NULL);
INSERT INTO executions (id, task_id, organization_id, max_parallel, active_steps, open_steps, failed_steps, cancelled_steps, event_seq, created_at) VALUES
  ('exe_00000000000000000000000001', 'task_00000000000000000000000001', 'org_00000000000000000000000001', 1, 0, 0, 0, 0, 4, {now}),
  ('exe_00000000000000000000000002', 'task_00000000000000000000000002', 'org_00000000000000000000000001', 1, 0, 1, 0, 0, 1, {now});
INSERT INTO steps (id, execution_id, task_id, organization_id, ordinal, target_instance_id, priority, state, outcome, queue_expires_at, on_worker_lost, attempts, claimed_by, claim_id,
  lease_state, lease_generation, lease_grace_ms, timeout_ms, completed_generation, result_digest, final_log_seq, created_at, ended_at) VALUES
  ('step_00000000000000000000000001', 'exe_00000000000000000000000001', 'task_00000000000000000000000001', 'org_00000000000000000000000001', 0, 'ws_00000000000000000000000001', 0, 'succeeded', 'SUCCEEDED',
   tanjiren_now() + 600000, 'fail', 1, 'ws_00000000000000000000000001', 'clm_00000000000000000000000001', 'released', 2, 120000, 86400000, 1, 'digest', 1, {now}, {now}),
  ('step_00000000000000000000000002', 'exe_00000000000000000000000002', 'task_00000000000000000000000002', 'org_00000000000000000000000001', 0, 'ws_00000000000000000000000001', 5, 'queued', NULL,
   tanjiren_now() + 600000, 'fail', 0, NULL, NULL, 'free', 0, 120000, 86400000, NULL, NULL, NULL, {now}, NULL);
INSERT INTO step_claims (step_id, generation, claim_id, instance_id, session_id, claimed_at, log_seq, log_bytes) VALUES
  ('step_00000000000000000000000001', 1, 'clm_00000000000000000000000001', 'ws_00000000000000000000000001', 'ses_00000000000000000000000001', {now}, 1, 2);
INSERT INTO step_events (task_id, event_seq, at, kind) VALUES ('task_00000000000000000000000001', 1, {now}, 'queued'), ('task_00000000000000000000000001', 2, {now}, 'claimed'),
  ('task_00000000000000000000000001', 4, {now}, 'taskEnded'), ('task_00000000000000000000000002', 1, {now}, 'queued');
INSERT INTO step_logs (step_id, generation, seq, task_id, event_seq, stream, at, signature, data) VALUES
  ('step_00000000000000000000000001', 1, 1, 'task_00000000000000000000000001', 3, 'stdout', {now}, 'signature', {bytes});
INSERT INTO audit_events (id, organization_id, at, actor, action, subject, detail, address) VALUES
  ('evt_00000000000000000000000001', 'org_00000000000000000000000001', 1000, 'usr_00000000000000000000000001', 'organization.created', 'org_00000000000000000000000001', NULL, NULL),
  ('evt_00000000000000000000000002', 'org_00000000000000000000000002', 1000, 'usr_00000000000000000000000002', 'organization.created', 'org_00000000000000000000000002', NULL, '127.0.0.1'),
  ('evt_00000000000000000000000003', 'org_00000000000000000000000001', 1001, 'usr_00000000000000000000000001', 'task.created', 'task_00000000000000000000000001', 'done long ago', '127.0.0.1');
INSERT INTO idempotency_keys (organization_id, user_id, idempotency_key, request_hash, resource_id, created_at) VALUES
  ('org_00000000000000000000000001', 'usr_00000000000000000000000001', 'key', 'hash', 'task_00000000000000000000000001', {now});
