-- What became of each question of a step in mode investigate, for each claim that was asked it. The artifact outlives it; this goes with the task.
CREATE TABLE step_answers (
  step_id         TEXT NOT NULL REFERENCES steps (id) ON DELETE CASCADE,
  generation      BIGINT NOT NULL,
  ordinal         INTEGER NOT NULL,                -- place of the question among the task's, from 0
  artifact_id     TEXT NOT NULL,                   -- a person may have deleted it since
  answer          TEXT,                            -- JSON in the form of the question
  problem         TEXT,                            -- why there is no answer
  words           TEXT NOT NULL,                   -- the beginning of the one or the other, as one line for people
  evidence_count  INTEGER NOT NULL,
  asked           INTEGER NOT NULL,
  digest          TEXT NOT NULL,                   -- of all that was said: the same again is answered, anything else is refused
  answered_at     BIGINT NOT NULL,
  PRIMARY KEY (step_id, generation, ordinal),
  CHECK ((answer IS NULL) = (problem IS NOT NULL))
);
