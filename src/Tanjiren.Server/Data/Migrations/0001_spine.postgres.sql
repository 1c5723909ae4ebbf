-- The lease clock of a shared database: the database's own, so that server processes with different clocks agree.
CREATE FUNCTION tanjiren_now() RETURNS BIGINT LANGUAGE sql VOLATILE AS
  'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint';
