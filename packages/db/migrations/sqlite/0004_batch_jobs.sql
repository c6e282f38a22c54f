-- Jobs that were started together share a batch.

CREATE TABLE batch_job (
    id              TEXT PRIMARY KEY,
    batch_id        TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    status          TEXT NOT NULL DEFAULT 'QUEUED'
                    CHECK (status IN ('QUEUED', 'PROCESSING', 'VERIFYING', 'COMPLETED', 'FAILED', 'CANCELED')),
    config          TEXT NOT NULL CHECK (json_valid(config)),
    result_summary  TEXT CHECK (result_summary IS NULL OR json_valid(result_summary)),
    error           TEXT,
    attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    created_at_ms   INTEGER NOT NULL,
    updated_at_ms   INTEGER NOT NULL
) STRICT;

CREATE INDEX batch_job_by_batch ON batch_job (batch_id, created_at_ms, id);
CREATE INDEX batch_job_by_user ON batch_job (user_id, created_at_ms, id);

CREATE TABLE batch_job_item (
    job_id          TEXT NOT NULL REFERENCES batch_job (id) ON DELETE CASCADE,
    ordinal         INTEGER NOT NULL CHECK (ordinal >= 0),
    input_url       TEXT NOT NULL,
    output_url      TEXT,
    status          TEXT NOT NULL DEFAULT 'QUEUED'
                    CHECK (status IN ('QUEUED', 'PROCESSING', 'VERIFYING', 'COMPLETED', 'FAILED', 'CANCELED')),
    PRIMARY KEY (job_id, ordinal)
) STRICT;
