-- A document may be read by several runs at once. Each has a row of its own, so that the end of one says nothing of the
-- others.

CREATE TABLE workspace_indexing_by_run (
    workspace_id    TEXT NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    source          TEXT NOT NULL,
    run_id          TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('INDEXING', 'FAILED')),
    since_ms        INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, source, run_id)
) STRICT;

INSERT INTO workspace_indexing_by_run (workspace_id, source, run_id, state, since_ms)
SELECT workspace_id, source, '', state, since_ms FROM workspace_indexing;

DROP TABLE workspace_indexing;
ALTER TABLE workspace_indexing_by_run RENAME TO workspace_indexing;
