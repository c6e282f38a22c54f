-- What the settings' file last said of a budget, and whose file it was: what it says again changes nothing, so that what was
-- changed since stays.

CREATE TABLE file_budget (
    scope           TEXT NOT NULL CHECK (scope IN ('workspace', 'function')),
    scope_id        TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('tokens', 'images', 'seconds', 'currency')),
    period          TEXT NOT NULL CHECK (period IN ('hour', 'day', 'week', 'month', 'ever')),
    limit_amount    INTEGER NOT NULL CHECK (limit_amount >= 0),
    source          TEXT NOT NULL CHECK (source IN ('studio', 'worker')),
    PRIMARY KEY (scope, scope_id, kind, period)
) STRICT;
