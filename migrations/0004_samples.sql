-- What has happened lately, for people to look at.

-- Counted exchanges by the minute in which they ended, summed per project and model.
CREATE TABLE minute_sample (
  -- Wall time of the minute's begin.
  minute_at_ms INTEGER NOT NULL CHECK (minute_at_ms % 60000 = 0),
  project TEXT NOT NULL,
  model TEXT NOT NULL,
  requests INTEGER NOT NULL CHECK (requests >= 0),
  input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
  -- Of the requests, those that had to wait, and for how long.
  waited INTEGER NOT NULL CHECK (waited BETWEEN 0 AND requests),
  wait_ms_max INTEGER NOT NULL CHECK (wait_ms_max >= 0),
  wait_ms_sum INTEGER NOT NULL CHECK (wait_ms_sum >= wait_ms_max),
  refusals INTEGER NOT NULL CHECK (refusals BETWEEN 0 AND requests),
  upstream_rejections INTEGER NOT NULL CHECK (upstream_rejections >= 0),
  usd_micros INTEGER NOT NULL CHECK (usd_micros >= 0),
  PRIMARY KEY (minute_at_ms, project, model)
) STRICT, WITHOUT ROWID;

-- Every start of a daemon on this database. The first one has the id 1; the newest is never deleted,
-- so that ids go on from it.
CREATE TABLE daemon_start (
  start_id INTEGER PRIMARY KEY,
  started_at_ms INTEGER NOT NULL
) STRICT;
