-- Instants are 64-bit Unix milliseconds by the server's wall clock, except lease_*, deadline_at and queue_expires_at of steps: those are readings of
-- tanjiren_now(), the lease clock, and comparable only with it. Truth values are 0 and 1.

CREATE TABLE organizations (
  id          TEXT PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE,
  created_at  BIGINT NOT NULL
);

CREATE TABLE users (
  id             TEXT PRIMARY KEY,
  email          TEXT NOT NULL UNIQUE,          -- lower case
  password_hash  TEXT,                          -- absent: this user signs in by token only
  created_at     BIGINT NOT NULL
);

CREATE TABLE memberships (
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  user_id          TEXT NOT NULL REFERENCES users (id),
  role             TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  created_at       BIGINT NOT NULL,
  PRIMARY KEY (organization_id, user_id)
);
CREATE UNIQUE INDEX memberships_one_owner ON memberships (organization_id) WHERE role = 'owner';
CREATE INDEX memberships_by_user ON memberships (user_id);

-- Sessions of the browser and personal access tokens: a random secret of which only the SHA-256 is kept.
CREATE TABLE credentials (
  id               TEXT PRIMARY KEY,
  kind             TEXT NOT NULL CHECK (kind IN ('session', 'token')),
  user_id          TEXT NOT NULL REFERENCES users (id),
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  name             TEXT NOT NULL,
  secret_hash      TEXT NOT NULL UNIQUE,
  created_at       BIGINT NOT NULL,
  expires_at       BIGINT NOT NULL,
  last_used_at     BIGINT,
  revoked_at       BIGINT
);
CREATE INDEX credentials_by_user ON credentials (user_id, organization_id);

CREATE TABLE setup_codes (
  code_hash   TEXT PRIMARY KEY,
  expires_at  BIGINT NOT NULL,
  used_at     BIGINT
);

-- Keys that all server processes share: the nonce HMAC, the token HMAC, the signing key.
CREATE TABLE server_secrets (
  name        TEXT PRIMARY KEY,
  value       {blob} NOT NULL,
  created_at  BIGINT NOT NULL
);

CREATE TABLE instances (
  id                 TEXT PRIMARY KEY,
  organization_id    TEXT NOT NULL REFERENCES organizations (id),
  name               TEXT NOT NULL,
  machine_id         TEXT,
  tags               TEXT NOT NULL DEFAULT '[]',     -- JSON array, sorted
  labels             TEXT NOT NULL DEFAULT '{}',     -- JSON object of strings, as announced
  draining           INTEGER NOT NULL DEFAULT 0,     -- by an admin
  agent_draining     INTEGER NOT NULL DEFAULT 0,     -- by the agent itself, while it stops
  agent_version      TEXT,
  max_concurrent     INTEGER NOT NULL DEFAULT 1,
  last_heartbeat_at  BIGINT,
  created_at         BIGINT NOT NULL,
  removed_at         BIGINT
);
CREATE UNIQUE INDEX instances_name ON instances (organization_id, name) WHERE removed_at IS NULL;
CREATE UNIQUE INDEX instances_machine ON instances (organization_id, machine_id) WHERE removed_at IS NULL AND machine_id IS NOT NULL;

CREATE TABLE instance_keys (
  id           TEXT PRIMARY KEY,
  instance_id  TEXT NOT NULL REFERENCES instances (id),
  jkt          TEXT NOT NULL UNIQUE,               -- RFC 7638 thumbprint: one key, one workstation
  x            TEXT NOT NULL,
  y            TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  revoked_at   BIGINT
);
CREATE UNIQUE INDEX instance_keys_one_active ON instance_keys (instance_id) WHERE revoked_at IS NULL;

CREATE TABLE pairing_codes (
  code_hash    TEXT PRIMARY KEY,
  instance_id  TEXT NOT NULL REFERENCES instances (id),
  created_by   TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  expires_at   BIGINT NOT NULL,
  used_at      BIGINT,
  used_jkt     TEXT
);
CREATE INDEX pairing_codes_by_instance ON pairing_codes (instance_id);

CREATE TABLE instance_sessions (
  id             TEXT PRIMARY KEY,
  instance_id    TEXT NOT NULL REFERENCES instances (id),
  machine_id     TEXT NOT NULL,
  boot_id        TEXT NOT NULL,
  host_name      TEXT NOT NULL,
  agent_version  TEXT,
  opened_at      BIGINT NOT NULL,
  last_seen      BIGINT NOT NULL,                  -- lease clock
  ended_at       BIGINT
);
-- Two agents that act as one workstation would run everything twice: the database allows one open session.
CREATE UNIQUE INDEX instance_sessions_one_open ON instance_sessions (instance_id) WHERE ended_at IS NULL;

CREATE TABLE tasks (
  id                   TEXT PRIMARY KEY,
  organization_id      TEXT NOT NULL REFERENCES organizations (id),
  intent               TEXT NOT NULL,
  mode                 TEXT NOT NULL CHECK (mode IN ('command', 'prompt', 'investigate')),
  state                TEXT NOT NULL CHECK (state IN ('planned', 'queued', 'executing', 'completed', 'failed', 'cancelled')),
  approval_status      TEXT NOT NULL CHECK (approval_status IN ('not_required', 'pending', 'approved', 'consumed', 'rejected', 'expired')),
  spec                 TEXT NOT NULL,              -- JSON: TaskSpec
  priority             INTEGER NOT NULL,
  created_by           TEXT NOT NULL,
  created_at           BIGINT NOT NULL,
  started_at           BIGINT,
  ended_at             BIGINT,
  cancel_requested_at  BIGINT,
  cancel_reason        TEXT,
  outcome_summary      TEXT,
  CHECK ((ended_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled')))
);
CREATE INDEX tasks_by_organization ON tasks (organization_id, id);
CREATE INDEX tasks_by_state ON tasks (organization_id, state, id);

CREATE TABLE executions (
  id                   TEXT PRIMARY KEY,
  task_id              TEXT NOT NULL UNIQUE REFERENCES tasks (id),
  organization_id      TEXT NOT NULL,
  max_parallel         INTEGER NOT NULL CHECK (max_parallel >= 0),
  stop_after_failures  INTEGER,
  active_steps         INTEGER NOT NULL CHECK (active_steps >= 0),    -- leases held or stale
  open_steps           INTEGER NOT NULL CHECK (open_steps >= 0),      -- not terminal
  failed_steps         INTEGER NOT NULL CHECK (failed_steps >= 0),
  cancelled_steps      INTEGER NOT NULL CHECK (cancelled_steps >= 0), -- by an operator
  event_seq            BIGINT NOT NULL,            -- numbers the events of the task in commit order
  created_at           BIGINT NOT NULL,
  CHECK (max_parallel = 0 OR active_steps <= max_parallel),
  CHECK (active_steps <= open_steps)
);

-- Canonical selectors, each stored once, so that the work query matches a machine against few selectors rather than many steps.
CREATE TABLE selectors (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  canonical        TEXT NOT NULL,
  UNIQUE (organization_id, canonical)
);

CREATE TABLE steps (
  id                    TEXT PRIMARY KEY,
  execution_id          TEXT NOT NULL REFERENCES executions (id),
  task_id               TEXT NOT NULL,
  organization_id       TEXT NOT NULL,
  ordinal               INTEGER NOT NULL,
  target_instance_id    TEXT REFERENCES instances (id),   -- placement all
  selector_id           TEXT REFERENCES selectors (id),   -- placement any
  priority              INTEGER NOT NULL,
  state                 TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  outcome               TEXT CHECK (outcome IN ('SUCCEEDED', 'FAILED', 'CANCELLED')),
  reason                TEXT,
  detail                TEXT,
  exit_code             INTEGER,
  signal                TEXT,
  duration_ms           BIGINT,
  output_preview        {blob},
  queue_expires_at      BIGINT NOT NULL,
  on_worker_lost        TEXT NOT NULL CHECK (on_worker_lost IN ('fail', 'requeue')),
  attempts              INTEGER NOT NULL DEFAULT 0,
  claimed_by            TEXT,                             -- the latest claimer, kept after the lease ended
  claim_id              TEXT,
  claimed_at            BIGINT,
  lease_state           TEXT NOT NULL CHECK (lease_state IN ('free', 'held', 'stale', 'released')),
  lease_holder          TEXT,
  lease_session         TEXT,
  lease_generation      BIGINT NOT NULL DEFAULT 0,
  lease_expires_at      BIGINT,
  lease_ttl_ms          BIGINT NOT NULL DEFAULT 0,
  lease_grace_ms        BIGINT NOT NULL,
  timeout_ms            BIGINT NOT NULL,
  deadline_at           BIGINT,                           -- hard deadline of the running step
  cancel_requested_at   BIGINT,
  completed_generation  BIGINT,
  result_digest         TEXT,
  final_log_seq         BIGINT,                           -- of the completed generation
  truncated             INTEGER NOT NULL DEFAULT 0,
  created_at            BIGINT NOT NULL,
  ended_at              BIGINT,
  CHECK ((target_instance_id IS NULL) <> (selector_id IS NULL)),
  CHECK ((state = 'running') = (lease_state IN ('held', 'stale'))),
  CHECK ((lease_state IN ('held', 'stale')) = (lease_holder IS NOT NULL)),
  CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (outcome IS NOT NULL))
);
CREATE INDEX steps_by_task ON steps (task_id, ordinal);
CREATE INDEX steps_queued_for_instance ON steps (target_instance_id, priority DESC, id) WHERE state = 'queued';
CREATE INDEX steps_queued_for_selector ON steps (selector_id, priority DESC, id) WHERE state = 'queued';
CREATE INDEX steps_queue_expiry ON steps (queue_expires_at) WHERE state = 'queued';
CREATE INDEX steps_by_holder ON steps (lease_holder) WHERE state = 'running';
CREATE INDEX steps_by_lease_expiry ON steps (lease_expires_at) WHERE state = 'running';
CREATE INDEX steps_by_deadline ON steps (deadline_at) WHERE state = 'running';

-- Who held which generation: decides who may still append to the log of one, and tells a late result from a stranger's.
CREATE TABLE step_claims (
  step_id      TEXT NOT NULL REFERENCES steps (id),
  generation   BIGINT NOT NULL,
  claim_id     TEXT NOT NULL,
  instance_id  TEXT NOT NULL,
  session_id   TEXT NOT NULL,
  claimed_at   BIGINT NOT NULL,
  log_seq      BIGINT NOT NULL DEFAULT 0,                 -- everything up to it is stored
  log_bytes    BIGINT NOT NULL DEFAULT 0,
  late_result  INTEGER NOT NULL DEFAULT 0,
  answered     TEXT,                                      -- how its holder gave it back: 'released', or the digest of an unknown outcome
  PRIMARY KEY (step_id, generation)
);
CREATE UNIQUE INDEX step_claims_by_claim ON step_claims (claim_id);

CREATE TABLE step_events (
  task_id      TEXT NOT NULL REFERENCES tasks (id),
  event_seq    BIGINT NOT NULL,
  at           BIGINT NOT NULL,
  step_id      TEXT,
  kind         TEXT NOT NULL,
  generation   BIGINT,
  instance_id  TEXT,
  detail       TEXT,
  PRIMARY KEY (task_id, event_seq)
);

CREATE TABLE step_logs (
  step_id     TEXT NOT NULL REFERENCES steps (id),
  generation  BIGINT NOT NULL,
  seq         BIGINT NOT NULL,
  task_id     TEXT NOT NULL,
  event_seq   BIGINT NOT NULL,
  stream      TEXT NOT NULL CHECK (stream IN ('stdout', 'stderr', 'system')),
  at          BIGINT NOT NULL,
  signature   TEXT NOT NULL,
  data        {blob} NOT NULL,
  PRIMARY KEY (step_id, generation, seq)
);
CREATE INDEX step_logs_by_event ON step_logs (task_id, event_seq, seq);

CREATE TABLE audit_events (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT,
  at               BIGINT NOT NULL,
  actor            TEXT NOT NULL,
  action           TEXT NOT NULL,
  subject          TEXT NOT NULL,
  detail           TEXT,
  address          TEXT
);
CREATE INDEX audit_events_by_organization ON audit_events (organization_id, id);

CREATE TABLE idempotency_keys (
  organization_id  TEXT NOT NULL,
  user_id          TEXT NOT NULL,
  idempotency_key  TEXT NOT NULL,
  request_hash     TEXT NOT NULL,
  resource_id      TEXT NOT NULL,
  created_at       BIGINT NOT NULL,
  PRIMARY KEY (organization_id, user_id, idempotency_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
