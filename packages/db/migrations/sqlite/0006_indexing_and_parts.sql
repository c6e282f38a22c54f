-- What a workspace is reading now, and what of it failed. Its status follows from these rows: documents that are read
-- at the same time do not overwrite each other's.

CREATE TABLE workspace_indexing (
    workspace_id    TEXT NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    source          TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('INDEXING', 'FAILED')),
    since_ms        INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, source)
) STRICT;

-- Nobody is left who would end what the status spoke of.
UPDATE workspace SET indexing_status = 'IDLE' WHERE indexing_status = 'INDEXING';

-- An asset's knowledge may come in parts that are replaced apart: its pages, what was seen in it, what was added.
-- The ordinal is a chunk's place in its part.

ALTER TABLE brand_knowledge ADD COLUMN part TEXT NOT NULL DEFAULT '';
ALTER TABLE brand_knowledge ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0;

UPDATE brand_knowledge SET ordinal = placed.ordinal
FROM (SELECT id, row_number() OVER (PARTITION BY workspace_id, asset_id ORDER BY rowid) - 1 AS ordinal
      FROM brand_knowledge) AS placed
WHERE placed.id = brand_knowledge.id;

CREATE INDEX brand_knowledge_by_time ON brand_knowledge (workspace_id, created_at_ms);
