-- The event that last asked for an asset to be read: the id its producer gave it, and the server's own, once
-- the server has answered. What a producer finds here after a crash it goes on with, instead of asking twice.

ALTER TABLE asset ADD COLUMN event_id TEXT;
ALTER TABLE asset ADD COLUMN event_received_as TEXT;
