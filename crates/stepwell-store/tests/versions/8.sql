pragma user_version = 8;
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
CREATE TABLE bulk_cancels (
        id blob not null primary key, function_id blob not null, started_after integer,
        started_before integer not null, condition text, created_at integer not null, after blob,
        done integer not null
    ) strict, without rowid;
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
insert into event_runs values (x'019b76daa80052cf8aec3f36609b3b21', x'019b76daa800f793697e0fba86982663');
insert into event_runs values (x'019b76daa80052cf8aec3f36609b3b24', x'019b76daa800f793697e0fba86982664');
insert into event_runs values (x'019b76daa80052cf8aec3f36609b3b27', x'019b76daa800f793697e0fba86982665');
insert into event_runs values (x'019b76daa80052cf8aec3f36609b3b2a', x'019b76daa800f793697e0fba86982666');
CREATE TABLE events (
        id blob not null primary key, name text not null, external_id text not null, ts integer not null,
        received_at integer not null, body text not null
    ) strict, without rowid;
insert into events values (x'019b76daa80052cf8aec3f36609b3b21', 'go', 'done', 1767225600000, 1767225600000, '{"data":{"id":"done","text":""},"id":"done","name":"go","ts":1767225600000,"user":{}}');
insert into events values (x'019b76daa80052cf8aec3f36609b3b24', 'go', 'asleep', 1767225600000, 1767225600000, '{"data":{"id":"asleep","text":""},"id":"asleep","name":"go","ts":1767225600000,"user":{}}');
insert into events values (x'019b76daa80052cf8aec3f36609b3b27', 'go', 'called', 1767225600000, 1767225600000, '{"data":{"id":"called","text":""},"id":"called","name":"go","ts":1767225600000,"user":{}}');
insert into events values (x'019b76daa80052cf8aec3f36609b3b2a', 'go', 'queued', 1767225600000, 1767225600000, '{"data":{"id":"queued","text":""},"id":"queued","name":"go","ts":1767225600000,"user":{}}');
CREATE TABLE forgotten_keys (
        queued_at integer not null, key blob not null, primary key (queued_at, key)
    ) strict, without rowid;
CREATE TABLE functions (
        id blob not null primary key, app_id blob not null, slug text not null, name text not null,
        config text not null, version integer not null, archived integer not null
    , paused integer not null default 0, steps_max integer, state_bytes_max integer) strict, without rowid;
insert into functions values (x'80e426ebec95575b969ec3afa7bd80b6', x'a5ffba8da76a5a4f980531b42e71db55', 'app-f', 'app-f', '{"id":"app-f","name":"","triggers":[{"event":"go"}],"steps":{"step":{"id":"","name":"","runtime":{"type":"http","url":"embedded://app"}}}}', 1, 0, 0, null, null);
CREATE TABLE inputs (
        run_id blob not null, step_id any not null, input text not null, primary key (run_id, step_id)
    ) strict, without rowid;
CREATE TABLE items (
        id integer primary key, run_id blob not null, kind text not null, step_id any,
        due integer not null, attempt integer not null
    , race integer not null default 0, title text, wait text, failures_of integer) strict;
insert into items values (7238556057600004, x'019b76daa800f793697e0fba86982664', 'sleep', x'c2640f79b4ed481b838ce4ad75330aa3f825d4d9', 1767226200000, 0, 0, 'nap', null, null);
insert into items values (7238556057600006, x'019b76daa800f793697e0fba86982665', 'discovery', x'e0996a37c13d44c3b06074939d43fa3759bd32c1', 1767225600000, 0, 0, null, null, null);
insert into items values (7238556057600007, x'019b76daa800f793697e0fba86982666', 'start', null, 1767225600000, 0, 0, null, null, null);
CREATE TABLE metadata (
        run_id blob not null, target text not null, kind text not null, vals text not null,
        updated_at integer not null, primary key (run_id, target, kind)
    ) strict, without rowid;
CREATE TABLE probe (id integer primary key, filler blob not null) strict;
CREATE TABLE recent_keys (key blob not null primary key, at integer not null) strict, without rowid;
CREATE TABLE runs (
        id blob not null primary key, function_id blob not null, function_version integer not null,
        event_ids blob not null, dedupe_key blob, announces integer not null, queued_at integer not null,
        keys text, status text not null, started_at integer, request_version integer not null,
        force_plan integer not null, pending text, ended_at integer, output text
    , origin text, cause text, last_item integer, last_queued_at integer, last_started_at integer, last_status integer) strict, without rowid;
insert into runs values (x'019b76daa800f793697e0fba86982663', x'80e426ebec95575b969ec3afa7bd80b6', 1, x'019b76daa80052cf8aec3f36609b3b21', x'b8e43f846adc6f802ff3e055fdb946cb', 1, 1767225600000, null, 'Completed', 1767225600000, 2, 0, null, 1767225600000, '[{"data":1},"done"]', null, null, 7238556057600001, 1767225600000, 1767225600000, null);
insert into runs values (x'019b76daa800f793697e0fba86982664', x'80e426ebec95575b969ec3afa7bd80b6', 1, x'019b76daa80052cf8aec3f36609b3b24', x'255244b5c2ef19a5f8974a6e7cf9c6de', 1, 1767225600000, null, 'Running', 1767225600000, 2, 0, null, null, null, null, null, null, null, null, null);
insert into runs values (x'019b76daa800f793697e0fba86982665', x'80e426ebec95575b969ec3afa7bd80b6', 1, x'019b76daa80052cf8aec3f36609b3b27', x'dd9229d80ca51b588ae38ec6c8dce37a', 1, 1767225600000, null, 'Running', 1767225600000, 2, 0, null, null, null, null, null, null, null, null, null);
insert into runs values (x'019b76daa800f793697e0fba86982666', x'80e426ebec95575b969ec3afa7bd80b6', 1, x'019b76daa80052cf8aec3f36609b3b2a', x'7384567b9ac4c58371dd6b68affee9ce', 1, 1767225600000, null, 'Scheduled', null, -1, 0, null, null, null, null, null, null, null, null, null);
CREATE TABLE schedules (
        function_id blob not null, cron text not null, after integer not null, primary key (function_id, cron)
    ) strict, without rowid;
CREATE TABLE steps (
        run_id blob not null, position integer not null, step_id any not null, op text not null,
        name text not null, value text not null, failed integer not null, attempt integer not null,
        started_at integer not null, ended_at integer not null, queued_at integer not null default 0, detail text, failures_of integer, primary key (run_id, position)
    ) strict, without rowid;
insert into steps values (x'019b76daa800f793697e0fba86982663', 0, x'e0996a37c13d44c3b06074939d43fa3759bd32c1', 'StepRun', 'first', '{"data":1}', 0, 0, 1767225600000, 1767225600000, 1767225600000, null, null);
insert into steps values (x'019b76daa800f793697e0fba86982664', 0, x'e0996a37c13d44c3b06074939d43fa3759bd32c1', 'StepRun', 'first', '{"data":1}', 0, 0, 1767225600000, 1767225600000, 1767225600000, null, null);
insert into steps values (x'019b76daa800f793697e0fba86982665', 0, x'e0996a37c13d44c3b06074939d43fa3759bd32c1', 'StepRun', 'first', '{"data":1}', 0, 0, 1767225600000, 1767225600000, 1767225600000, null, null);
CREATE TABLE throttles (key blob not null primary key, tat_us integer not null) strict, without rowid;
CREATE TABLE user_spans (
        run_id blob not null, id text not null, span text not null, primary key (run_id, id)
    ) strict, without rowid;
CREATE TABLE verdicts (
        event_id blob not null, function_id blob not null, verdict text not null,
        primary key (event_id, function_id)
    ) strict, without rowid;
CREATE INDEX attempts_run on attempts (run_id);
CREATE INDEX batch_events_event on batch_events (event_id);
CREATE INDEX debounces_event on debounces (event_id);
CREATE INDEX deliveries_event on deliveries (event_id);
CREATE INDEX events_late on events (name, received_at)
        where hex(substr(id, 1, 6)) < printf('%012X', received_at - 3600000);
CREATE INDEX events_name on events (name, id);
CREATE INDEX items_run on items (run_id);
CREATE INDEX runs_ended on runs (ended_at) where ended_at is not null;
CREATE INDEX runs_function on runs (function_id, id);
CREATE INDEX runs_otherwise on runs (status, id) where ended_at is not null and status <> 'Completed';
CREATE INDEX runs_started on runs (started_at) where started_at is not null;
CREATE INDEX runs_unfinished on runs (id) where ended_at is null;
