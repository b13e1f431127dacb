-- The ledger: who holds how many units of which partition. Times are milliseconds on the timeline
-- (src/quota/timeline.ts), money is millionths of a US dollar.

-- Where the timeline stands; one row.
CREATE TABLE clock_anchor (
  anchor_id INTEGER PRIMARY KEY CHECK (anchor_id = 1),
  boot_id TEXT NOT NULL,
  base_ms INTEGER NOT NULL,
  suspended_ms INTEGER NOT NULL CHECK (suspended_ms >= 0),
  upstream_offset_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  last_wall_ms INTEGER NOT NULL
) STRICT;

-- Whose quota: one model of one project. The held units belong to calls that the upstream may not
-- have counted yet; they do not expire. An id is never given twice: processes remember ids of
-- partitions that another one has merged away.
CREATE TABLE quota_partition (
  partition_id INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT NOT NULL,
  model TEXT NOT NULL,
  held_requests INTEGER NOT NULL DEFAULT 0,
  held_input_tokens INTEGER NOT NULL DEFAULT 0,
  held_usd_micros INTEGER NOT NULL DEFAULT 0,
  running INTEGER NOT NULL DEFAULT 0,
  parked_until_ms INTEGER NOT NULL DEFAULT 0,
  adjusted INTEGER NOT NULL DEFAULT 0 CHECK (adjusted IN (0, 1)),
  UNIQUE (project, model)
) STRICT;

-- The log of units, in order of time. event_key is the time in ms times 1024, plus a number that
-- makes it unique within the partition.
CREATE TABLE usage_event (
  partition_id INTEGER NOT NULL REFERENCES quota_partition,
  event_key INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  usd_micros INTEGER NOT NULL,
  PRIMARY KEY (partition_id, event_key)
) STRICT, WITHOUT ROWID;

-- A window over that log: everything up to tail_key has left it, the totals are of what is behind.
CREATE TABLE quota_window (
  partition_id INTEGER NOT NULL REFERENCES quota_partition,
  window_key TEXT NOT NULL,
  tail_key INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  usd_micros INTEGER NOT NULL,
  PRIMARY KEY (partition_id, window_key)
) STRICT, WITHOUT ROWID;

-- Limits that differ from the configuration.
CREATE TABLE limit_adjustment (
  partition_id INTEGER NOT NULL REFERENCES quota_partition,
  policy TEXT NOT NULL,
  learned_limit INTEGER CHECK (learned_limit > 0),
  learned_under INTEGER,
  learned_at_ms INTEGER,
  override_limit INTEGER CHECK (override_limit >= 0),
  override_at_ms INTEGER,
  PRIMARY KEY (partition_id, policy)
) STRICT, WITHOUT ROWID;

-- A daemon that works on this file. Its lease is renewed every two seconds. An id is never given
-- twice: one that was taken for dead must not wake up as another.
CREATE TABLE process (
  process_id INTEGER PRIMARY KEY AUTOINCREMENT,
  pid INTEGER NOT NULL,
  pid_scope TEXT NOT NULL,
  started_at_ms INTEGER NOT NULL,
  lease_at_ms INTEGER NOT NULL
) STRICT;

-- A call between admission and settlement, at its ceiling. event_key is null until it is dated.
CREATE TABLE reservation (
  reservation_id TEXT PRIMARY KEY,
  partition_id INTEGER NOT NULL REFERENCES quota_partition,
  process_id INTEGER NOT NULL,
  agent TEXT NOT NULL,
  event_key INTEGER,
  requests INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  usd_micros INTEGER NOT NULL,
  reserved_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX reservation_process ON reservation (process_id);

-- When an agent was last seen; an agent not seen for long starts again.
CREATE TABLE agent_seen (
  partition_id INTEGER NOT NULL REFERENCES quota_partition,
  agent TEXT NOT NULL,
  seen_at_ms INTEGER NOT NULL,
  PRIMARY KEY (partition_id, agent)
) STRICT, WITHOUT ROWID;

-- Agents' starts of the last minute. Pending: admitted, its bytes have not left yet.
CREATE TABLE agent_start (
  reservation_id TEXT PRIMARY KEY,
  partition_id INTEGER NOT NULL REFERENCES quota_partition,
  started_at_ms INTEGER NOT NULL,
  pending INTEGER NOT NULL CHECK (pending IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX agent_start_partition ON agent_start (partition_id, started_at_ms);

-- Until when nothing may go out, and why.
CREATE TABLE cooldown (
  partition_id INTEGER NOT NULL REFERENCES quota_partition,
  kind TEXT NOT NULL CHECK (kind IN ('minute', 'day', 'exhausted', 'billing', 'zero_limit')),
  until_ms INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (partition_id, kind)
) STRICT, WITHOUT ROWID;

-- The call that each process waits longest for, so that no other process overtakes it.
CREATE TABLE queue_head (
  process_id INTEGER NOT NULL,
  partition_id INTEGER NOT NULL REFERENCES quota_partition,
  since_ms INTEGER NOT NULL,
  interactive INTEGER NOT NULL CHECK (interactive IN (0, 1)),
  requests INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  usd_micros INTEGER NOT NULL,
  PRIMARY KEY (process_id, partition_id)
) STRICT, WITHOUT ROWID;
