pragma user_version = 5;
CREATE TABLE apps (
        id blob not null primary key, name text not null, url text not null, sdk text not null,
        framework text not null, checksum text not null, synced_at integer not null
    ) strict, without rowid;
insert into apps values (x'a5ffba8da76a5a4f980531b42e71db55', 'app', 'embedded://app', '', '', 'b259a6fb36de7efd7a97178d7b1974318aa3121374b3ca12ed07496eee6cb020', 1767225600000);
CREATE TABLE attempts (
        run_id blob not null, item_id integer not null, attempt integer not null, step_id any,
        name text not null, error text not null, started_at integer not null, ended_at integer not null,
        retry_at integer
    , queued_at integer not null default 0, op text, detail text) strict;
CREATE TABLE batch_events (
        batch_id integer not null, position integer not null, event_id blob not null, bytes integer not null,
        reply_to text, primary key (batch_id, position)
    ) strict, without rowid;
CREATE TABLE batches (
        id integer primary key, key blob not null, function_id blob not null, closes_at integer not null,
        keys text
    ) strict;
CREATE TABLE cancels (
        id integer primary key, run_id blob not null, event text not null, condition text,
        expires_at integer not null
    ) strict;
CREATE TABLE debounces (
        key blob not null primary key, function_id blob not null, opened_at integer not null,
        closes_at integer not null, ts integer not null, draft text not null, event_id blob not null
    ) strict, without rowid;
CREATE TABLE defers (
        run_id blob not null, step_id any not null, slug text not null, input text, meta text,
        status text not null, primary key (run_id, step_id)
    ) strict, without rowid;
CREATE TABLE deliveries (id integer primary key, event_id blob not null) strict;
CREATE TABLE event_runs (
        event_id blob not null, run_id blob not null, primary key (event_id, run_id)
    ) strict, without rowid;
insert into event_runs values (x'019b76daa800be1bb7cc2ba9103ba432', x'019b76daa800c3ef596a90c364bab0f2');
insert into event_runs values (x'019b76daa800be1bb7cc2ba9103ba435', x'019b76daa800c3ef596a90c364bab0f3');
insert into event_runs values (x'019b76daa800be1bb7cc2ba9103ba438', x'019b76daa800c3ef596a90c364bab0f4');
insert into event_runs values (x'019b76daa800be1bb7cc2ba9103ba43b', x'019b76daa800c3ef596a90c364bab0f5');
CREATE TABLE events (
        id blob not null primary key, name text not null, external_id text not null, ts integer not null,
        received_at integer not null, body text not null
    ) strict, without rowid;
insert into events values (x'019b76daa800be1bb7cc2ba9103ba432', 'go', 'done', 1767225600000, 1767225600000, '{"data":{"id":"done","text":""},"id":"done","name":"go","ts":1767225600000,"user":{}}');
insert into events values (x'019b76daa800be1bb7cc2ba9103ba435', 'go', 'asleep', 1767225600000, 1767225600000, '{"data":{"id":"asleep","text":""},"id":"asleep","name":"go","ts":1767225600000,"user":{}}');
insert into events values (x'019b76daa800be1bb7cc2ba9103ba438', 'go', 'called', 1767225600000, 1767225600000, '{"data":{"id":"called","text":""},"id":"called","name":"go","ts":1767225600000,"user":{}}');
insert into events values (x'019b76daa800be1bb7cc2ba9103ba43b', 'go', 'queued', 1767225600000, 1767225600000, '{"data":{"id":"queued","text":""},"id":"queued","name":"go","ts":1767225600000,"user":{}}');
CREATE TABLE forgotten_keys (
        queued_at integer not null, key blob not null, primary key (queued_at, key)
    ) strict, without rowid;
CREATE TABLE functions (
        id blob not null primary key, app_id blob not null, slug text not null, name text not null,
        config text not null, version integer not null, archived integer not null
    , paused integer not null default 0) strict, without rowid;
insert into functions values (x'80e426ebec95575b969ec3afa7bd80b6', x'a5ffba8da76a5a4f980531b42e71db55', 'app-f', 'app-f', '{"id":"app-f","name":"","triggers":[{"event":"go"}],"steps":{"step":{"id":"","name":"","runtime":{"type":"http","url":"embedded://app"}}}}', 1, 0, 0);
CREATE TABLE inputs (
        run_id blob not null, step_id any not null, input text not null, primary key (run_id, step_id)
    ) strict, without rowid;
CREATE TABLE items (
        id integer primary key, run_id blob not null, kind text not null, step_id any,
        due integer not null, attempt integer not null
    , race integer not null default 0, title text, wait text, failures_of integer) strict;
insert into items values (7238556057600004, x'019b76daa800c3ef596a90c364bab0f3', 'sleep', x'c2640f79b4ed481b838ce4ad75330aa3f825d4d9', 1767226200000, 0, 0, 'nap', null, null);
insert into items values (7238556057600006, x'019b76daa800c3ef596a90c364bab0f4', 'discovery', x'e0996a37c13d44c3b06074939d43fa3759bd32c1', 1767225600000, 0, 0, null, null, null);
insert into items values (7238556057600007, x'019b76daa800c3ef596a90c364bab0f5', 'start', null, 1767225600000, 0, 0, null, null, null);
CREATE TABLE probe (id integer primary key, filler blob not null) strict;
CREATE TABLE recent_keys (key blob not null primary key, at integer not null) strict, without rowid;
CREATE TABLE runs (
        id blob not null primary key, function_id blob not null, function_version integer not null,
        event_ids blob not null, dedupe_key blob, announces integer not null, queued_at integer not null,
        keys text, status text not null, started_at integer, request_version integer not null,
        force_plan integer not null, pending text, ended_at integer, output text
    , origin text, cause text, last_item integer, last_queued_at integer, last_started_at integer) strict, without rowid;
insert into runs values (x'019b76daa800c3ef596a90c364bab0f2', x'80e426ebec95575b969ec3afa7bd80b6', 1, x'019b76daa800be1bb7cc2ba9103ba432', x'b8e43f846adc6f802ff3e055fdb946cb', 1, 1767225600000, null, 'Completed', 1767225600000, 2, 0, null, 1767225600000, '[{"data":1},"done"]', null, null, 7238556057600001, 1767225600000, 1767225600000);
insert into runs values (x'019b76daa800c3ef596a90c364bab0f3', x'80e426ebec95575b969ec3afa7bd80b6', 1, x'019b76daa800be1bb7cc2ba9103ba435', x'255244b5c2ef19a5f8974a6e7cf9c6de', 1, 1767225600000, null, 'Running', 1767225600000, 2, 0, null, null, null, null, null, null, null, null);
insert into runs values (x'019b76daa800c3ef596a90c364bab0f4', x'80e426ebec95575b969ec3afa7bd80b6', 1, x'019b76daa800be1bb7cc2ba9103ba438', x'dd9229d80ca51b588ae38ec6c8dce37a', 1, 1767225600000, null, 'Running', 1767225600000, 2, 0, null, null, null, null, null, null, null, null);
insert into runs values (x'019b76daa800c3ef596a90c364bab0f5', x'80e426ebec95575b969ec3afa7bd80b6', 1, x'019b76daa800be1bb7cc2ba9103ba43b', x'7384567b9ac4c58371dd6b68affee9ce', 1, 1767225600000, null, 'Scheduled', null, -1, 0, null, null, null, null, null, null, null, null);
CREATE TABLE schedules (
        function_id blob not null, cron text not null, after integer not null, primary key (function_id, cron)
    ) strict, without rowid;
CREATE TABLE steps (
        run_id blob not null, position integer not null, step_id any not null, op text not null,
        name text not null, value text not null, failed integer not null, attempt integer not null,
        started_at integer not null, ended_at integer not null, queued_at integer not null default 0, detail text, failures_of integer, primary key (run_id, position)
    ) strict, without rowid;
insert into steps values (x'019b76daa800c3ef596a90c364bab0f2', 0, x'e0996a37c13d44c3b06074939d43fa3759bd32c1', 'StepRun', 'first', '{"data":1}', 0, 0, 1767225600000, 1767225600000, 1767225600000, null, null);
insert into steps values (x'019b76daa800c3ef596a90c364bab0f3', 0, x'e0996a37c13d44c3b06074939d43fa3759bd32c1', 'StepRun', 'first', '{"data":1}', 0, 0, 1767225600000, 1767225600000, 1767225600000, null, null);
insert into steps values (x'019b76daa800c3ef596a90c364bab0f4', 0, x'e0996a37c13d44c3b06074939d43fa3759bd32c1', 'StepRun', 'first', '{"data":1}', 0, 0, 1767225600000, 1767225600000, 1767225600000, null, null);
CREATE TABLE throttles (key blob not null primary key, tat_us integer not null) strict, without rowid;
CREATE TABLE verdicts (
        event_id blob not null, function_id blob not null, verdict text not null,
        primary key (event_id, function_id)
    ) strict, without rowid;
CREATE INDEX attempts_run on attempts (run_id);
CREATE INDEX batch_events_event on batch_events (event_id);
CREATE INDEX debounces_event on debounces (event_id);
CREATE INDEX deliveries_event on deliveries (event_id);
CREATE INDEX events_name on events (name, id);
CREATE INDEX items_run on items (run_id);
CREATE INDEX runs_unfinished on runs (id) where ended_at is null;
