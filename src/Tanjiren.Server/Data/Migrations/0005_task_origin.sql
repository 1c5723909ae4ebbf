-- Where a task comes from: a tick of a schedule, a runbook, an investigation, a failed attempt before it.
ALTER TABLE tasks ADD COLUMN schedule_id TEXT;
ALTER TABLE tasks ADD COLUMN schedule_tick_at BIGINT;
ALTER TABLE tasks ADD COLUMN runbook_id TEXT;
ALTER TABLE tasks ADD COLUMN investigation_id TEXT;
-- A person has said what it runs, or that it runs now: beside a schedule or runbook a request too. Who changed it says so in changed_by.
ALTER TABLE tasks ADD COLUMN by_person INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN retry_of_task_id TEXT;
ALTER TABLE tasks ADD COLUMN root_task_id TEXT;
ALTER TABLE tasks ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
-- However many servers fire it, a tick makes one task; however often its end is seen, a failure makes one retry.
CREATE UNIQUE INDEX tasks_by_tick ON tasks (schedule_id, schedule_tick_at) WHERE schedule_id IS NOT NULL;
CREATE UNIQUE INDEX tasks_by_retried ON tasks (retry_of_task_id) WHERE retry_of_task_id IS NOT NULL;
CREATE INDEX tasks_by_root ON tasks (root_task_id) WHERE root_task_id IS NOT NULL;
CREATE INDEX tasks_by_investigation ON tasks (investigation_id, id) WHERE investigation_id IS NOT NULL;
