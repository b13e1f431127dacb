-- Session logs: what is known of them, who continues one, and turns on their way to the disk.

-- What was read from a log while its files had these times and sizes. It holds no question or answer.
CREATE TABLE session_index (
  directory TEXT NOT NULL,
  -- Relative to the directory; empty where the directory is the log.
  file TEXT NOT NULL,
  root TEXT NOT NULL,
  name TEXT NOT NULL,
  -- Times and sizes of the files that tell whether the log has changed.
  signature TEXT NOT NULL,
  format TEXT NOT NULL,
  session_id TEXT,
  turns INTEGER NOT NULL CHECK (turns >= 0),
  -- JSON arrays of names.
  agents TEXT NOT NULL,
  models TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  warnings INTEGER NOT NULL CHECK (warnings >= 0),
  PRIMARY KEY (directory, file)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_index_by_id ON session_index (session_id) WHERE session_id IS NOT NULL;

-- One turn at a time: who continues a session holds its row and renews it.
CREATE TABLE session_claim (
  log TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  renewed_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A turn on its way to the disk. `prepared`: its files are being written, and it is undone when its
-- writer is gone. `decided`: everything is on the disk, and it is finished by whoever comes next.
-- `undone`: it is being removed.
CREATE TABLE session_intent (
  id TEXT PRIMARY KEY,
  log TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('prepared', 'decided', 'undone')),
  -- JSON array of the moves from temporary to final directories.
  moves TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_intent_by_log ON session_intent (log);
