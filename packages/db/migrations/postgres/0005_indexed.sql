-- When a document was last read to its end: a failure of before says nothing of it any more.

CREATE TABLE workspace_indexed (
    workspace_id    TEXT NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    source          TEXT NOT NULL,
    done_ms         BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, source)
);
