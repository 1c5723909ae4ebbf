-- What jobs of a task get and nobody reads back, under a key that is not in the database. Its names are in the task's spec too. It goes with the task.
CREATE TABLE task_secrets (
  task_id  TEXT NOT NULL REFERENCES tasks (id),
  name     TEXT NOT NULL,
  given_by TEXT NOT NULL,                        -- who gave it: nobody else changes what is run with it
  key_id   TEXT NOT NULL,                        -- of the key, to tell a lost key from a damaged row
  sealed   {blob} NOT NULL,                      -- AES-256-GCM: nonce (12 bytes), ciphertext, tag (16 bytes); bound to task and name
  PRIMARY KEY (task_id, name)
);
