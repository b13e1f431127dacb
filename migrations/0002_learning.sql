-- What headgate learns about models, and what it has counted.

-- Two names of one model, learned from the upstream's answers.
CREATE TABLE model_alias (
  alias TEXT PRIMARY KEY,
  model TEXT NOT NULL CHECK (model <> alias),
  learned_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far estimates are from the truth, per model and kind of client. The histogram is a JSON
-- array of counts over ratio classes (src/quota/calibration.ts).
CREATE TABLE calibration (
  model TEXT NOT NULL,
  client TEXT NOT NULL,
  ratio_average REAL NOT NULL CHECK (ratio_average > 0),
  sample_count INTEGER NOT NULL CHECK (sample_count >= 0),
  histogram TEXT NOT NULL,
  PRIMARY KEY (model, client)
) STRICT, WITHOUT ROWID;

-- Settled exchanges, summed per Pacific day.
CREATE TABLE usage_rollup (
  day TEXT NOT NULL,
  project TEXT NOT NULL,
  model TEXT NOT NULL,
  agent TEXT NOT NULL,
  outcome TEXT NOT NULL,
  exchanges INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  usd_micros INTEGER NOT NULL,
  PRIMARY KEY (day, project, model, agent, outcome)
) STRICT, WITHOUT ROWID;
