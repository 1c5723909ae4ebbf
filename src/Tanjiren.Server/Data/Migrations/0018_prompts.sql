-- Coding agents that a machine announces, as a sorted JSON array of names; what its last heartbeat said.
ALTER TABLE instances ADD COLUMN coding_agents TEXT NOT NULL DEFAULT '[]';

-- What a coding agent said last, and what it says that it cost (JSON): of a step in mode prompt that has ended. Apart from the steps, which are read far more often than
-- answers of up to 256 KiB are. They belong to the result, and go with the task, not with its output.
CREATE TABLE step_responses (
  step_id   TEXT PRIMARY KEY REFERENCES steps (id) ON DELETE CASCADE,
  response  TEXT,
  usage     TEXT,
  CHECK (response IS NOT NULL OR usage IS NOT NULL)
);
