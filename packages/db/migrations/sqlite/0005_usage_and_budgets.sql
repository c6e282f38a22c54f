-- What was used, each once: the key is made by whoever used it, so that a step that is executed again counts once.
-- Amounts are whole numbers of each kind's unit: tokens, images, milliseconds, millionths of the currency.
-- Workspaces are named, not referenced: what a workspace used stays true when it is gone.

CREATE TABLE usage (
    key             TEXT PRIMARY KEY,
    workspace_id    TEXT NOT NULL,
    function_id     TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('tokens', 'images', 'seconds', 'currency')),
    model           TEXT NOT NULL,
    amount          INTEGER NOT NULL CHECK (amount >= 0),
    at_ms           INTEGER NOT NULL
) STRICT;

-- They hold all that a sum reads.
CREATE INDEX usage_by_workspace ON usage (workspace_id, kind, at_ms, amount);
CREATE INDEX usage_by_function ON usage (function_id, kind, at_ms, amount);
CREATE INDEX usage_by_time ON usage (at_ms);

CREATE TABLE budget (
    scope           TEXT NOT NULL CHECK (scope IN ('workspace', 'function')),
    scope_id        TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('tokens', 'images', 'seconds', 'currency')),
    period          TEXT NOT NULL CHECK (period IN ('hour', 'day', 'week', 'month', 'ever')),
    limit_amount    INTEGER NOT NULL CHECK (limit_amount >= 0),
    created_at_ms   INTEGER NOT NULL,
    updated_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (scope, scope_id, kind, period)
) STRICT;
