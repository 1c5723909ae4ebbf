-- The last reading of the lease clock; see SqliteLeaseClock.
CREATE TABLE lease_clock (
  id   INTEGER PRIMARY KEY CHECK (id = 1),
  now  BIGINT NOT NULL
);
INSERT INTO lease_clock (id, now) VALUES (1, tanjiren_now());
