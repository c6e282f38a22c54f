-- The event that last asked for an asset to be read: the id its producer gave it, and the server's own, once
-- the server has answered. What a producer finds here after a crash it goes on with, instead of asking twice.
-- Seen is what whoever asked has been shown the result of.

ALTER TABLE asset ADD COLUMN event_id TEXT;
ALTER TABLE asset ADD COLUMN event_received_as TEXT;
ALTER TABLE asset ADD COLUMN event_seen INTEGER NOT NULL DEFAULT 0 CHECK (event_seen IN (0, 1));
