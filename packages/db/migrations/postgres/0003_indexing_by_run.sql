-- A document may be read by several runs at once. Each has a row of its own, so that the end of one says nothing of the
-- others.

ALTER TABLE workspace_indexing ADD COLUMN run_id TEXT NOT NULL DEFAULT '';
ALTER TABLE workspace_indexing ALTER COLUMN run_id DROP DEFAULT;
ALTER TABLE workspace_indexing DROP CONSTRAINT workspace_indexing_pkey;
ALTER TABLE workspace_indexing ADD PRIMARY KEY (workspace_id, source, run_id);
