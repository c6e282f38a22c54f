-- A run has a row for each node of its graph. Rows are given their places in a list by time of creation and id.

CREATE TABLE workflow_definition (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    nodes           TEXT NOT NULL CHECK (json_valid(nodes)),
    edges           TEXT NOT NULL CHECK (json_valid(edges)),
    user_id         TEXT NOT NULL,
    project_id      TEXT,
    created_at_ms   INTEGER NOT NULL,
    updated_at_ms   INTEGER NOT NULL
) STRICT;

CREATE INDEX workflow_definition_by_user ON workflow_definition (user_id, created_at_ms, id);

CREATE TABLE workflow_run (
    id              TEXT PRIMARY KEY,
    workflow_id     TEXT REFERENCES workflow_definition (id) ON DELETE SET NULL,
    state           TEXT NOT NULL DEFAULT 'PENDING'
                    CHECK (state IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELED')),
    user_id         TEXT,
    project_id      TEXT,
    input           TEXT CHECK (input IS NULL OR json_valid(input)),
    output          TEXT CHECK (output IS NULL OR json_valid(output)),
    error           TEXT CHECK (error IS NULL OR json_valid(error)),
    started_at_ms   INTEGER,
    finished_at_ms  INTEGER,
    created_at_ms   INTEGER NOT NULL,
    updated_at_ms   INTEGER NOT NULL
) STRICT;

CREATE INDEX workflow_run_by_time ON workflow_run (created_at_ms, id);
CREATE INDEX workflow_run_by_user ON workflow_run (user_id, created_at_ms, id);
CREATE INDEX workflow_run_by_workflow ON workflow_run (workflow_id, created_at_ms, id);

CREATE TABLE workflow_step (
    run_id          TEXT NOT NULL REFERENCES workflow_run (id) ON DELETE CASCADE,
    node_id         TEXT NOT NULL,
    name            TEXT NOT NULL,
    state           TEXT NOT NULL DEFAULT 'PENDING'
                    CHECK (state IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELED')),
    ordinal         INTEGER NOT NULL CHECK (ordinal >= 0),
    tool_name       TEXT,
    input           TEXT CHECK (input IS NULL OR json_valid(input)),
    output          TEXT CHECK (output IS NULL OR json_valid(output)),
    error           TEXT CHECK (error IS NULL OR json_valid(error)),
    started_at_ms   INTEGER,
    finished_at_ms  INTEGER,
    PRIMARY KEY (run_id, node_id)
) STRICT;
