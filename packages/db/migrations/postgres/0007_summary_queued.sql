-- When that run was queued: one that was queued before does not begin any more.

ALTER TABLE workspace ADD COLUMN summary_queued_ms BIGINT;
