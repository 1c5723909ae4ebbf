-- Where an organization wants to be told of its approvals: one address at most.
CREATE TABLE webhooks (
  organization_id  TEXT PRIMARY KEY REFERENCES organizations (id),
  url              TEXT NOT NULL,
  secret           {blob} NOT NULL,              -- of the signature; read at each delivery, so it is stored as it is
  server_url       TEXT NOT NULL,                -- under which the server was reached when it was set; messages point there
  created_at       BIGINT NOT NULL,
  updated_at       BIGINT NOT NULL,
  updated_by       TEXT NOT NULL,
  failures         INTEGER NOT NULL DEFAULT 0,   -- tries in a row that were not taken, whichever message
  next_try_at      BIGINT NOT NULL DEFAULT 0,    -- not before; while a server tries: the end of its lease
  last_try_at      BIGINT NOT NULL DEFAULT 0     -- whose turn it is when there are more than can be sent to at once
);

-- What is to be told, written in the transaction of what it tells of. Without a foreign key to webhooks: an event and the removal of its webhook must not wait for each
-- other. What is left without one is dropped by the loop.
CREATE TABLE webhook_deliveries (
  id               TEXT PRIMARY KEY,             -- the webhook-id that the receiver knows repeats by
  organization_id  TEXT NOT NULL,
  event            TEXT NOT NULL,
  approval_id      TEXT,
  body             TEXT NOT NULL,                -- JSON, the same at every try
  state            TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
  created_at       BIGINT NOT NULL,
  tries            INTEGER NOT NULL DEFAULT 0,   -- also what tells a holder whether the lease is still theirs
  last_try_at      BIGINT,
  last_status      INTEGER,
  last_error       TEXT,
  next_try_at      BIGINT,                       -- while a server tries: the end of its lease
  ended_at         BIGINT,
  CHECK ((state = 'waiting') = (next_try_at IS NOT NULL)),
  CHECK ((state = 'waiting') = (ended_at IS NULL))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (organization_id, next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (organization_id, id) WHERE next_try_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_organization ON webhook_deliveries (organization_id, id);
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (created_at);

-- Tasks by what became of their approval; most never needed one.
CREATE INDEX tasks_by_approval ON tasks (organization_id, approval_status, id) WHERE approval_status <> 'not_required';
-- Machines whose time away from a step is over: each is woken then.
CREATE INDEX step_holds_by_end ON step_holds (held_until);
