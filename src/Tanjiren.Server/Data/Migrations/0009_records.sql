-- What people keep: investigations, runbooks, prompts, and the artifacts of tasks and investigations. A version rises with every change of a row; an update names
-- the one that it was made from.

CREATE TABLE investigations (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  title            TEXT NOT NULL,
  objective        TEXT NOT NULL,                  -- Markdown, as the two below; empty: not written
  hypothesis       TEXT NOT NULL,
  findings         TEXT NOT NULL,
  status           TEXT NOT NULL CHECK (status IN ('open', 'closed')),
  version          BIGINT NOT NULL,
  created_by       TEXT NOT NULL,
  created_at       BIGINT NOT NULL,
  updated_at       BIGINT NOT NULL,
  closed_at        BIGINT,
  CHECK ((closed_at IS NOT NULL) = (status = 'closed'))
);
CREATE INDEX investigations_by_organization ON investigations (organization_id, id);

CREATE TABLE runbooks (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  name             TEXT NOT NULL,
  status           TEXT NOT NULL CHECK (status IN ('draft', 'active', 'archived')),
  fields           TEXT NOT NULL,                  -- JSON: RunbookFields
  version          BIGINT NOT NULL,
  created_by       TEXT NOT NULL,
  updated_by       TEXT NOT NULL,
  created_at       BIGINT NOT NULL,
  updated_at       BIGINT NOT NULL,
  UNIQUE (organization_id, name)
);
CREATE INDEX runbooks_by_organization ON runbooks (organization_id, id);
CREATE INDEX tasks_by_runbook ON tasks (runbook_id, id) WHERE runbook_id IS NOT NULL;

CREATE TABLE prompts (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT NOT NULL REFERENCES organizations (id),
  name             TEXT NOT NULL,
  text             TEXT NOT NULL,
  tags             TEXT NOT NULL,                  -- JSON array, sorted
  version          BIGINT NOT NULL,
  created_by       TEXT NOT NULL,
  created_at       BIGINT NOT NULL,
  updated_at       BIGINT NOT NULL,
  UNIQUE (organization_id, name)
);
CREATE INDEX prompts_by_organization ON prompts (organization_id, id);

-- They outlive their task: task_id refers to nothing on purpose, and the intent stands here too.
CREATE TABLE artifacts (
  id                TEXT PRIMARY KEY,
  organization_id   TEXT NOT NULL REFERENCES organizations (id),
  task_id           TEXT,
  task_intent       TEXT,
  investigation_id  TEXT REFERENCES investigations (id),
  kind              TEXT NOT NULL CHECK (kind IN ('note', 'link', 'evidence', 'summary')),
  title             TEXT NOT NULL,
  url               TEXT,
  file_name         TEXT,
  media_type        TEXT,
  size_bytes        BIGINT,
  sha256            TEXT,                          -- of the content, lower-case hex
  created_by        TEXT,                          -- absent: the server
  created_at        BIGINT NOT NULL,
  content           {blob},                        -- last: a list does not read past what it needs
  CHECK (task_id IS NOT NULL OR investigation_id IS NOT NULL),
  CHECK ((task_id IS NULL) = (task_intent IS NULL)),
  CHECK ((kind = 'link') = (url IS NOT NULL)),
  CHECK ((kind = 'link') = (content IS NULL)),
  CHECK ((content IS NULL) = (sha256 IS NULL) AND (content IS NULL) = (size_bytes IS NULL)),
  CHECK ((kind = 'summary') = (created_by IS NULL))
);
CREATE INDEX artifacts_by_task ON artifacts (task_id, id) WHERE task_id IS NOT NULL;
CREATE INDEX artifacts_by_investigation ON artifacts (investigation_id, id) WHERE investigation_id IS NOT NULL;
-- However often a task's end is written, it is summed up once.
CREATE UNIQUE INDEX artifacts_one_summary ON artifacts (task_id) WHERE kind = 'summary';
