-- The trace that a task belongs to (W3C Trace Context): the span of the request that created it. Absent for older tasks.
ALTER TABLE tasks ADD COLUMN trace_parent TEXT;
ALTER TABLE tasks ADD COLUMN trace_state TEXT;
