-- Lists by one filter: without these, a page of what is rare reads every task that the organization ever had.
CREATE INDEX tasks_by_mode ON tasks (organization_id, mode, id);
-- The tasks of a workstation: each step is in one of the two. Who claimed a step that any machine could take, and whose it was from the start.
CREATE INDEX steps_by_target ON steps (target_instance_id, task_id) WHERE target_instance_id IS NOT NULL;
CREATE INDEX steps_by_claimer ON steps (claimed_by, task_id) WHERE target_instance_id IS NULL;
