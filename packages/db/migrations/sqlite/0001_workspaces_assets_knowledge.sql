-- Times are Unix milliseconds. JSON columns hold text that SQLite has checked to be JSON.

CREATE TABLE workspace (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    slug            TEXT NOT NULL UNIQUE,
    user_id         TEXT NOT NULL,
    brand_profile   TEXT CHECK (brand_profile IS NULL OR json_valid(brand_profile)),
    brand_summary   TEXT CHECK (brand_summary IS NULL OR json_valid(brand_summary)),
    indexing_status TEXT NOT NULL DEFAULT 'IDLE'
                    CHECK (indexing_status IN ('IDLE', 'INDEXING', 'FAILED')),
    created_at_ms   INTEGER NOT NULL,
    updated_at_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE asset (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    type            TEXT NOT NULL
                    CHECK (type IN ('IMAGE', 'VIDEO', 'AUDIO', 'DOCUMENT', 'MODEL', 'OTHER')),
    url             TEXT NOT NULL,
    size_bytes      INTEGER NOT NULL CHECK (size_bytes >= 0),
    mime_type       TEXT NOT NULL,
    metadata        TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    project_id      TEXT,
    workspace_id    TEXT REFERENCES workspace (id) ON DELETE CASCADE,
    is_brand_asset  INTEGER NOT NULL DEFAULT 0 CHECK (is_brand_asset IN (0, 1)),
    created_at_ms   INTEGER NOT NULL,
    updated_at_ms   INTEGER NOT NULL
) STRICT;

CREATE INDEX asset_by_workspace ON asset (workspace_id, is_brand_asset);

-- One row per chunk. The embedding is 768 little-endian 32-bit floats: vector(768).
CREATE TABLE brand_knowledge (
    id              TEXT PRIMARY KEY,
    node_id         TEXT UNIQUE,
    workspace_id    TEXT NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    asset_id        TEXT NOT NULL,
    text            TEXT NOT NULL,
    embedding       BLOB NOT NULL CHECK (length(embedding) = 768 * 4),
    metadata        TEXT NOT NULL CHECK (json_valid(metadata)),
    created_at_ms   INTEGER NOT NULL
) STRICT;

CREATE INDEX brand_knowledge_by_asset ON brand_knowledge (workspace_id, asset_id);
