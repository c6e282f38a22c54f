-- Times are Unix milliseconds. JSON is kept as it was written (json, not jsonb): the keys of a node's configuration
-- have an order.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE workspace (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    slug            TEXT NOT NULL UNIQUE,
    user_id         TEXT NOT NULL,
    brand_profile   JSON,
    brand_summary   JSON,
    indexing_status TEXT NOT NULL DEFAULT 'IDLE'
                    CHECK (indexing_status IN ('IDLE', 'INDEXING', 'FAILED')),
    created_at_ms   BIGINT NOT NULL,
    updated_at_ms   BIGINT NOT NULL
);

CREATE TABLE asset (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    type            TEXT NOT NULL
                    CHECK (type IN ('IMAGE', 'VIDEO', 'AUDIO', 'DOCUMENT', 'MODEL', 'OTHER')),
    url             TEXT NOT NULL,
    size_bytes      BIGINT NOT NULL CHECK (size_bytes >= 0),
    mime_type       TEXT NOT NULL,
    metadata        JSON NOT NULL DEFAULT '{}',
    project_id      TEXT,
    workspace_id    TEXT REFERENCES workspace (id) ON DELETE CASCADE,
    is_brand_asset  BOOLEAN NOT NULL DEFAULT FALSE,
    -- The event that last asked for it to be read: the id its producer gave it, the server's own once the server has
    -- answered, and whether whoever asked has been shown the result.
    event_id        TEXT,
    event_received_as TEXT,
    event_seen      BOOLEAN NOT NULL DEFAULT FALSE,
    created_at_ms   BIGINT NOT NULL,
    updated_at_ms   BIGINT NOT NULL
);

CREATE INDEX asset_by_workspace ON asset (workspace_id, is_brand_asset);

-- One row per chunk; its ordinal is its place in its part of the asset's knowledge.
CREATE TABLE brand_knowledge (
    id              TEXT PRIMARY KEY,
    node_id         TEXT UNIQUE,
    workspace_id    TEXT NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    asset_id        TEXT NOT NULL,
    part            TEXT NOT NULL DEFAULT '',
    ordinal         BIGINT NOT NULL DEFAULT 0,
    text            TEXT NOT NULL,
    embedding       vector(768) NOT NULL,
    metadata        JSON NOT NULL,
    created_at_ms   BIGINT NOT NULL
);

CREATE INDEX brand_knowledge_by_asset ON brand_knowledge (workspace_id, asset_id);
CREATE INDEX brand_knowledge_by_time ON brand_knowledge (workspace_id, created_at_ms);

-- A search compares with every fragment of one workspace, which the index above finds. That is exact, and a workspace has
-- thousands of fragments, not millions. An HNSW index spans all workspaces: it would find the nearest of everybody's, and
-- after the others' are dropped, fewer than were asked for. Plain storage spares a search the way to the TOAST table.
ALTER TABLE brand_knowledge ALTER COLUMN embedding SET STORAGE PLAIN;

-- A run has a row for each node of its graph. Rows are given their places in a list by time of creation and id.

CREATE TABLE workflow_definition (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    nodes           JSON NOT NULL,
    edges           JSON NOT NULL,
    user_id         TEXT NOT NULL,
    project_id      TEXT,
    created_at_ms   BIGINT NOT NULL,
    updated_at_ms   BIGINT NOT NULL
);

CREATE INDEX workflow_definition_by_user ON workflow_definition (user_id, created_at_ms, id);

CREATE TABLE workflow_run (
    id              TEXT PRIMARY KEY,
    workflow_id     TEXT REFERENCES workflow_definition (id) ON DELETE SET NULL,
    state           TEXT NOT NULL DEFAULT 'PENDING'
                    CHECK (state IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELED')),
    user_id         TEXT,
    project_id      TEXT,
    input           JSON,
    output          JSON,
    error           JSON,
    started_at_ms   BIGINT,
    finished_at_ms  BIGINT,
    created_at_ms   BIGINT NOT NULL,
    updated_at_ms   BIGINT NOT NULL
);

CREATE INDEX workflow_run_by_time ON workflow_run (created_at_ms, id);
CREATE INDEX workflow_run_by_user ON workflow_run (user_id, created_at_ms, id);
CREATE INDEX workflow_run_by_workflow ON workflow_run (workflow_id, created_at_ms, id);

CREATE TABLE workflow_step (
    run_id          TEXT NOT NULL REFERENCES workflow_run (id) ON DELETE CASCADE,
    node_id         TEXT NOT NULL,
    name            TEXT NOT NULL,
    state           TEXT NOT NULL DEFAULT 'PENDING'
                    CHECK (state IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELED')),
    ordinal         BIGINT NOT NULL CHECK (ordinal >= 0),
    tool_name       TEXT,
    input           JSON,
    output          JSON,
    error           JSON,
    started_at_ms   BIGINT,
    finished_at_ms  BIGINT,
    PRIMARY KEY (run_id, node_id)
);

-- Jobs that were started together share a batch.

CREATE TABLE batch_job (
    id              TEXT PRIMARY KEY,
    batch_id        TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    status          TEXT NOT NULL DEFAULT 'QUEUED'
                    CHECK (status IN ('QUEUED', 'PROCESSING', 'VERIFYING', 'COMPLETED', 'FAILED', 'CANCELED')),
    config          JSON NOT NULL,
    result_summary  JSON,
    error           TEXT,
    attempts        BIGINT NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    created_at_ms   BIGINT NOT NULL,
    updated_at_ms   BIGINT NOT NULL
);

CREATE INDEX batch_job_by_batch ON batch_job (batch_id, created_at_ms, id);
CREATE INDEX batch_job_by_user ON batch_job (user_id, created_at_ms, id);

CREATE TABLE batch_job_item (
    job_id          TEXT NOT NULL REFERENCES batch_job (id) ON DELETE CASCADE,
    ordinal         BIGINT NOT NULL CHECK (ordinal >= 0),
    input_url       TEXT NOT NULL,
    output_url      TEXT,
    status          TEXT NOT NULL DEFAULT 'QUEUED'
                    CHECK (status IN ('QUEUED', 'PROCESSING', 'VERIFYING', 'COMPLETED', 'FAILED', 'CANCELED')),
    PRIMARY KEY (job_id, ordinal)
);

-- What was used, each once: the key is made by whoever used it, so that a step that is executed again counts once.
-- Amounts are whole numbers of each kind's unit: tokens, images, milliseconds, millionths of the currency.
-- Workspaces are named, not referenced: what a workspace used stays true when it is gone.

CREATE TABLE usage (
    key             TEXT PRIMARY KEY,
    workspace_id    TEXT NOT NULL,
    function_id     TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('tokens', 'images', 'seconds', 'currency')),
    model           TEXT NOT NULL,
    amount          BIGINT NOT NULL CHECK (amount >= 0),
    at_ms           BIGINT NOT NULL
);

-- They hold all that a sum reads.
CREATE INDEX usage_by_workspace ON usage (workspace_id, kind, at_ms, amount);
CREATE INDEX usage_by_function ON usage (function_id, kind, at_ms, amount);
CREATE INDEX usage_by_time ON usage (at_ms);

CREATE TABLE budget (
    scope           TEXT NOT NULL CHECK (scope IN ('workspace', 'function')),
    scope_id        TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('tokens', 'images', 'seconds', 'currency')),
    period          TEXT NOT NULL CHECK (period IN ('hour', 'day', 'week', 'month', 'ever')),
    limit_amount    BIGINT NOT NULL CHECK (limit_amount >= 0),
    created_at_ms   BIGINT NOT NULL,
    updated_at_ms   BIGINT NOT NULL,
    PRIMARY KEY (scope, scope_id, kind, period)
);

-- What a workspace is reading now, and what of it failed. Its status follows from these rows: documents that are read
-- at the same time do not overwrite each other's.

CREATE TABLE workspace_indexing (
    workspace_id    TEXT NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    source          TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('INDEXING', 'FAILED')),
    since_ms        BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, source)
);
