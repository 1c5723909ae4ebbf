-- What the doctrine and a task's own request decided when it was made or last changed.
ALTER TABLE tasks ADD COLUMN approval_class TEXT NOT NULL DEFAULT 'none' CHECK (approval_class IN ('none', 'sensitive_write', 'production_mutation'));
ALTER TABLE tasks ADD COLUMN doctrine_version INTEGER NOT NULL DEFAULT 0;   -- the snapshot; 0: there was no doctrine
ALTER TABLE tasks ADD COLUMN action_hash TEXT;                              -- of specification, targets and doctrine version; what approvals are bound to
ALTER TABLE tasks ADD COLUMN frozen_until BIGINT;                           -- a freeze that waits; past ones are cleared by a loop
ALTER TABLE tasks ADD COLUMN changed_by TEXT;                               -- who changed it last; in their name it is decided from then on
CREATE INDEX tasks_by_freeze ON tasks (frozen_until) WHERE frozen_until IS NOT NULL;

-- The number of the earliest approval of its task under which a step may start; 0: it needs none.
ALTER TABLE steps ADD COLUMN approval_from INTEGER NOT NULL DEFAULT 0;

-- Machines that the doctrine keeps from a step, for minutes; the others are offered it.
CREATE TABLE step_holds (
  step_id      TEXT NOT NULL REFERENCES steps (id) ON DELETE CASCADE,
  instance_id  TEXT NOT NULL REFERENCES instances (id),
  held_until   BIGINT NOT NULL,                   -- Unix milliseconds; asked again then
  forbidden    INTEGER NOT NULL,                  -- 0: frozen
  PRIMARY KEY (step_id, instance_id)
);

CREATE TABLE approvals (
  id                TEXT PRIMARY KEY,
  organization_id   TEXT NOT NULL REFERENCES organizations (id),
  task_id           TEXT NOT NULL REFERENCES tasks (id),
  number            INTEGER NOT NULL,             -- from 1, of its task
  class             TEXT NOT NULL CHECK (class IN ('sensitive_write', 'production_mutation')),
  state             TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'consumed', 'rejected', 'expired', 'withdrawn')),
  action_hash       TEXT NOT NULL,
  doctrine_version  INTEGER NOT NULL,
  findings          TEXT NOT NULL,                -- JSON array
  requested_by      TEXT NOT NULL,
  requested_at      BIGINT NOT NULL,
  expires_at        BIGINT NOT NULL,
  decided_by        TEXT,
  decided_at        BIGINT,
  reason            TEXT,
  self_approved     INTEGER NOT NULL DEFAULT 0,
  consumed_at       BIGINT,
  inherited_from    TEXT,                         -- the approval of the attempt before, whose answer it repeats
  UNIQUE (task_id, number),
  CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
  CHECK ((consumed_at IS NOT NULL) = (state = 'consumed')),
  CHECK (state NOT IN ('approved', 'consumed', 'rejected') OR decided_by IS NOT NULL)
);
-- Two that ask at once, or an answer beside a new question, would leave it open which one counts.
CREATE UNIQUE INDEX approvals_one_open ON approvals (task_id) WHERE state IN ('pending', 'approved');
CREATE INDEX approvals_by_organization ON approvals (organization_id, state, id);
CREATE INDEX approvals_by_expiry ON approvals (expires_at) WHERE state IN ('pending', 'approved');
