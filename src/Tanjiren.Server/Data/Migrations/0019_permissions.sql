-- What coding agents ask people while they run: may I use this tool? The id is the machine's, so that a repeated question is the same one.
CREATE TABLE permissions (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  task_id          TEXT NOT NULL REFERENCES tasks (id),
  step_id          TEXT NOT NULL REFERENCES steps (id) ON DELETE CASCADE,
  generation       BIGINT NOT NULL,              -- of the lease under which it was asked
  instance_id      TEXT NOT NULL REFERENCES instances (id),
  coding_agent     TEXT,
  tool_call_id     TEXT,
  tool_kind        TEXT NOT NULL,
  title            TEXT NOT NULL,
  paths            TEXT NOT NULL,                -- JSON array of text
  arguments        TEXT,                         -- JSON, at most 32 KiB
  arguments_cut    INTEGER NOT NULL,             -- there were more
  options          TEXT NOT NULL,                -- JSON array of { id, name, kind }
  digest           TEXT NOT NULL,                -- of all that was asked: a repetition from another question under the same id
  state            TEXT NOT NULL CHECK (state IN ('pending', 'answered', 'expired', 'withdrawn')),
  asked_at         BIGINT NOT NULL,
  expires_at       BIGINT NOT NULL,
  ended_at         BIGINT,
  verdict          TEXT CHECK (verdict IN ('allow', 'deny')),
  option_id        TEXT,
  answered_by      TEXT,                         -- the person; absent: a rule, or nobody
  rule             TEXT,                         -- of the doctrine: it answered, or wants a person to
  reason           TEXT,
  told             TEXT CHECK (told IN ('allow', 'deny', 'cancelled', 'withdrawn')),
  CHECK ((state = 'pending') = (ended_at IS NULL)),
  CHECK ((state IN ('answered', 'expired')) = (verdict IS NOT NULL)),
  CHECK (state = 'answered' OR answered_by IS NULL),
  CHECK (state <> 'expired' OR verdict = 'deny'),
  CHECK (state <> 'answered' OR answered_by IS NOT NULL OR rule IS NOT NULL)
);
CREATE INDEX permissions_by_organization ON permissions (organization_id, state, id);
CREATE INDEX permissions_by_task ON permissions (task_id, id);
CREATE INDEX permissions_by_step ON permissions (step_id);
-- What waits is always little: who looks for what has expired meets nothing else.
CREATE INDEX permissions_pending ON permissions (expires_at) WHERE state = 'pending';
