-- Coding agents that a machine announces, as a sorted JSON array of names; what its last heartbeat said.
ALTER TABLE instances ADD COLUMN coding_agents TEXT NOT NULL DEFAULT '[]';

-- Of a prompt: what the coding agent said last, and what it says that it cost (JSON). Both belong to the result, and go with the task, not with its output.
ALTER TABLE steps ADD COLUMN response TEXT;
ALTER TABLE steps ADD COLUMN usage TEXT;
