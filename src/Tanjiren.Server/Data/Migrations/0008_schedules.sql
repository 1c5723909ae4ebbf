-- Tasks that are made by the clock. Instants are Unix milliseconds by the servers' wall clock: a schedule goes by the time of day, not by elapsed time.
CREATE TABLE schedules (
  id                  TEXT PRIMARY KEY,
  organization_id     TEXT NOT NULL REFERENCES organizations (id),
  name                TEXT NOT NULL,
  cron                TEXT NOT NULL,
  time_zone           TEXT NOT NULL,
  overlap             TEXT NOT NULL CHECK (overlap IN ('allow', 'forbid', 'queue')),
  missed_runs         TEXT NOT NULL CHECK (missed_runs IN ('skip', 'once')),
  task                TEXT NOT NULL,              -- JSON: CreateTaskRequest, every default filled in
  runbook_version     BIGINT,                     -- of the runbook that the task names: what its owner saw
  owner_id            TEXT NOT NULL,              -- in whose name ticks run; perhaps no member any more
  created_at          BIGINT NOT NULL,
  updated_at          BIGINT NOT NULL,
  next_run_at         BIGINT,                     -- absent while paused
  paused_at           BIGINT,
  pause_reason        TEXT,
  waiting_tick_at     BIGINT,                     -- overlap queue: the tick that waits
  last_tick_at        BIGINT,                     -- no tick up to it is ever dealt with again, wherever the clock goes
  last_task_id        TEXT,
  last_error          TEXT,
  last_error_tick_at  BIGINT,
  runs                BIGINT NOT NULL DEFAULT 0,
  skipped             BIGINT NOT NULL DEFAULT 0,
  missed              BIGINT NOT NULL DEFAULT 0,
  failed              BIGINT NOT NULL DEFAULT 0,
  CHECK ((paused_at IS NULL) = (next_run_at IS NOT NULL)),
  CHECK (waiting_tick_at IS NULL OR paused_at IS NULL AND overlap = 'queue')
);
CREATE UNIQUE INDEX schedules_name ON schedules (organization_id, name);
CREATE INDEX schedules_by_organization ON schedules (organization_id, id);
CREATE INDEX schedules_due ON schedules (next_run_at) WHERE next_run_at IS NOT NULL;
CREATE INDEX schedules_waiting ON schedules (id) WHERE waiting_tick_at IS NOT NULL;
-- Whether a schedule's task has yet to end: asked at each tick, and most of its tasks ended long ago.
CREATE INDEX tasks_open_by_schedule ON tasks (schedule_id) WHERE schedule_id IS NOT NULL AND state IN ('planned', 'queued', 'executing');

-- Attempts to come: written in the transaction in which the task fails, so that no crash between failure and attempt can lose one.
CREATE TABLE retries (
  task_id          TEXT PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,   -- the attempt that failed
  organization_id  TEXT NOT NULL,
  schedule_id      TEXT,
  due_at           BIGINT NOT NULL
);
CREATE INDEX retries_by_due ON retries (due_at);
CREATE INDEX retries_by_schedule ON retries (schedule_id) WHERE schedule_id IS NOT NULL;
