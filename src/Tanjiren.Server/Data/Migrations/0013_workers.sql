-- What a workstation's worker is called; absent: its name and "agent".
ALTER TABLE instances ADD COLUMN worker_name TEXT;

-- For the overview of an organization: the queue by age, and what ended lately. Neither meets a task that ended long ago.
CREATE INDEX steps_queued_by_age ON steps (organization_id, created_at) WHERE state = 'queued';
CREATE INDEX tasks_ended_by_organization ON tasks (organization_id, ended_at, state) WHERE ended_at IS NOT NULL;

-- What machines ask for with every poll: which selectors anything waits for at all.
CREATE INDEX steps_queued_selectors ON steps (organization_id, selector_id) WHERE state = 'queued' AND selector_id IS NOT NULL;
-- Whether any step refers to a selector still; also what the foreign key asks when one is deleted.
CREATE INDEX steps_by_selector ON steps (selector_id) WHERE selector_id IS NOT NULL;
