-- What was being read before runs had rows of their own names no run that could end it.

DELETE FROM workspace_indexing WHERE run_id = '' AND state = 'INDEXING';

UPDATE workspace SET indexing_status =
    CASE WHEN EXISTS (SELECT 1 FROM workspace_indexing WHERE workspace_id = workspace.id)
    THEN 'FAILED' ELSE 'IDLE' END
WHERE indexing_status = 'INDEXING'
      AND NOT EXISTS (SELECT 1 FROM workspace_indexing
                      WHERE workspace_id = workspace.id AND state = 'INDEXING');
