"""What the API says of runs and does with functions: jobs, verdicts, pauses, repetitions, signals."""

import collections
import datetime
import uuid

import inngest
import pytest

from app import definer, start_app
from gate import Gate

MINUTE = datetime.timedelta(minutes=1)
NOBODY = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
gate = Gate()
# How often each step's body ran, by run and step.
executions: collections.Counter[tuple[str, str]] = collections.Counter()
broken = {"is": True}


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-api", functions)

    def counted(ctx: inngest.Context, step_id: str, result):
        async def body():
            executions[ctx.run_id, step_id] += 1
            return result

        return ctx.step.run(step_id, body)

    @function("quick")
    async def quick(ctx: inngest.Context):
        return "quick"

    @function("sleeps")
    async def sleeps(ctx: inngest.Context):
        await ctx.step.sleep("sleep", MINUTE)

    @function("waits")
    async def waits(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-api/go", timeout=MINUTE)
        return "went on"

    @function("fails-at-first", retries=1)
    async def fails_at_first(ctx: inngest.Context):
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("later", MINUTE)

    @function("held", concurrency=[inngest.Concurrency(limit=1, key="event.data.account")])
    async def held(ctx: inngest.Context):
        await ctx.step.run("inside", gate.enter)

    @function("paused")
    async def paused(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-api/unpaused", timeout=MINUTE)
        return "ran"

    @function("repeats")
    async def repeats(ctx: inngest.Context):
        first = await counted(ctx, "first", [ctx.run_id, ctx.event.data["number"]])
        await ctx.step.sleep_until("nap", datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc))
        second = await counted(ctx, "second", ctx.run_id)
        in_vain = await ctx.step.wait_for_event("in vain", event="py-api/never", timeout=datetime.timedelta(seconds=1))
        third = await counted(ctx, "third", ctx.run_id)
        return {"first": first, "second": second, "in_vain": in_vain, "third": third}

    @function("repeats-a-failure", retries=0)
    async def repeats_a_failure(ctx: inngest.Context):
        async def fragile():
            executions[ctx.run_id, "fragile"] += 1
            if broken["is"]:
                raise ValueError("broken")
            return "mended"

        before = await counted(ctx, "before", ctx.run_id)
        return [before, await ctx.step.run("fragile", fragile)]

    @function("ambiguous")
    async def ambiguous(ctx: inngest.Context):
        return [await counted(ctx, "same", number) for number in range(2)]

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-api", define) as app:
        yield app


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


@pytest.mark.parametrize("fn_id, kind", [("sleeps", "sleep"), ("waits", "wait-for-event")])
def test_the_jobs_of_a_run_say_what_it_waits_for_and_until_when(app, fn_id, kind):
    asked = datetime.datetime.now(datetime.timezone.utc)
    run_id = app.start(f"py-api/{fn_id}")
    [job] = app.parked(run_id)
    assert (job["kind"], job["attempt"]) == (kind, 0)
    assert asked < moment(job["at"]) < asked + 3 * MINUTE
    app.ask("DELETE", f"/v1/runs/{run_id}")


def test_the_jobs_of_a_run_show_its_next_attempt(app):
    run_id = app.start("py-api/fails-at-first")
    [job] = app.until("a second attempt", lambda: app.get(f"/v1/runs/{run_id}/jobs"), lambda jobs: [job["attempt"] for job in jobs] == [1])
    assert moment(job["at"]) > datetime.datetime.now(datetime.timezone.utc) + MINUTE / 3
    assert app.get(f"/v1/runs/{run_id}")["status"] == "Running"
    app.ask("DELETE", f"/v1/runs/{run_id}")


def test_an_ended_run_has_no_jobs(app):
    run_id = app.run("py-api/quick")["run_id"]
    app.until("nothing to be queued for it", lambda: app.get(f"/v1/runs/{run_id}/jobs") == [])


def test_a_verdict_names_the_run_and_what_it_waits_for(app):
    event_id = app.send("py-api/sleeps")
    run_id = app.run_of(event_id)
    app.parked(run_id)
    verdict = app.verdict(event_id, "sleeps")
    assert (verdict["verdict"], verdict["run"], verdict["status"]) == ("started", run_id, "Running")
    assert verdict["waits"]["for"] == "time"
    app.ask("DELETE", f"/v1/runs/{run_id}")
    verdict = app.verdict(event_id, "sleeps")
    assert (verdict["verdict"], verdict["status"]) == ("started", "Cancelled")
    assert "waits" not in verdict


def test_a_verdict_says_which_limit_holds_a_run_back_and_how_many_are_before_it(app):
    data = {"account": str(uuid.uuid4())}
    ids = [app.send("py-api/held", data) for _ in range(3)]
    app.until("one to be inside", lambda: gate.inside == 1)
    waits = [app.verdict(event_id, "held")["waits"] for event_id in ids]
    assert waits[0]["for"] == "call"
    assert [each["for"] for each in waits[1:]] == ["turn", "turn"]
    assert [each["limit"] for each in waits[1:]] == [{"concurrency": {"key": "event.data.account"}}] * 2
    assert waits[2]["ahead"] == waits[1]["ahead"] + 1
    for event_id in ids:
        app.until("one to be inside", lambda: gate.inside == 1)
        left = gate.left
        gate.release_one()
        app.until("one to leave", lambda: gate.left, lambda seen: seen > left)
    for event_id in ids:
        app.ended(event_id)


def test_an_event_that_nobody_listens_to_has_no_verdicts_and_an_unknown_one_is_not_found(app):
    assert app.get(f"/v1/events/{app.send('py-api/unheard')}/verdicts") == []
    for path in (f"/v1/events/{NOBODY}/verdicts", f"/v1/events/{NOBODY}", f"/v1/runs/{NOBODY}"):
        assert app.ask("GET", path).status_code == 404, path


PAUSE = "/v1/apps/py-api/functions/paused/pause"


def test_a_paused_function_starts_nothing_new_and_its_runs_stand_still_until_it_goes_on(app):
    running = app.parked_at("py-api/paused")
    assert app.ask("POST", PAUSE).status_code == 200
    event_id = app.send("py-api/paused")
    [skipped] = app.ended(event_id)
    assert skipped["status"] == "Skipped"
    verdict = app.verdict(event_id, "paused")
    assert verdict["verdict"] == "skipped"
    assert "paused" in str(verdict["cause"]).lower()
    calls = len(app.calls_of("paused"))
    app.send("py-api/unpaused")
    app.run("py-api/quick")
    assert app.get(f"/v1/runs/{running}")["status"] == "Running"
    assert len(app.calls_of("paused")) == calls
    assert app.ask("DELETE", PAUSE).status_code == 200
    assert app.end_of(running)["output"] == "ran"
    fresh = app.parked_at("py-api/paused")
    app.send("py-api/unpaused")
    assert app.end_of(fresh)["output"] == "ran"
    assert len(app.get(f"/v1/events/{event_id}/runs")) == 1, "what was skipped stays skipped"


def test_a_pause_outlasts_a_registration_without_a_change(app):
    app.ask("POST", PAUSE)
    app.register()
    assert app.run("py-api/paused")["status"] == "Skipped"
    app.ask("DELETE", PAUSE)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_function_that_is_not_there_cannot_be_paused(app, method):
    response = app.ask(method, "/v1/apps/py-api/functions/nobody/pause")
    assert response.status_code == 404
    assert "nobody" in response.json()["error"]


@pytest.fixture(scope="module")
def original(app):
    return app.run("py-api/repeats", {"number": 1})


def repeat(app, run_id: str, body=None) -> dict:
    response = app.ask("POST", f"/v2/runs/{run_id}/rerun", body)
    assert response.status_code == 200, response.text
    run = app.end_of(response.json()["data"]["runId"])
    assert run["run_id"] != run_id
    assert run["original_run_id"] == run_id
    return run


def test_a_repetition_is_a_run_of_its_own_with_the_same_event(app, original):
    run = repeat(app, original["run_id"])
    assert run["status"] == "Completed"
    own = run["run_id"]
    assert run["output"] == {"first": [own, 1], "second": own, "in_vain": None, "third": own}
    assert run["event_id"] == original["event_id"]
    assert app.get(f"/v1/runs/{original['run_id']}") == original


@pytest.mark.parametrize("step_id, kept", [("first", 0), ("second", 1), ("in vain", 2), ("third", 2)])
def test_a_repetition_from_a_step_keeps_what_was_before_it(app, original, step_id, kept):
    run = repeat(app, original["run_id"], {"fromStep": {"stepId": step_id}})
    old, own = original["run_id"], run["run_id"]
    assert run["output"]["first"] == [old if kept > 0 else own, 1]
    assert run["output"]["second"] == (old if kept > 1 else own)
    assert run["output"]["in_vain"] is None
    assert run["output"]["third"] == own
    assert executions[own, "first"] == (0 if kept > 0 else 1)


def test_a_failed_run_is_repeated_from_the_step_that_failed(app):
    original = app.run("py-api/repeats-a-failure")
    assert original["status"] == "Failed"
    broken["is"] = False
    run = repeat(app, original["run_id"], {"fromStep": {"stepId": "fragile"}})
    assert run["output"] == [original["run_id"], "mended"]
    assert [executions[run["run_id"], step_id] for step_id in ("before", "fragile")] == [0, 1]


def test_other_arguments_for_a_step_are_more_than_this_sdk_understands_and_its_error_ends_the_run(app):
    original = app.run("py-api/repeats-a-failure")
    run = repeat(app, original["run_id"], {"fromStep": {"stepId": "before", "input": ["other"]}})
    assert run["status"] == "Failed"
    assert run["output"]["name"] == "StepUnexpectedError"


@pytest.mark.parametrize(
    "body, message",
    [
        ({"fromStep": {"stepId": "nobody"}}, "Step not found in original run"),
        ({"fromStep": {"stepId": "same"}}, "Step name matches multiple steps in original run"),
        ({"fromStep": {"stepId": "same", "input": {"not": "an array"}}}, "array"),
    ],
)
def test_a_repetition_from_a_step_that_is_not_clear_is_refused(app, body, message):
    run = app.run("py-api/ambiguous")
    response = app.ask("POST", f"/v2/runs/{run['run_id']}/rerun", body)
    assert response.status_code == 400
    assert message in response.json()["errors"][0]["message"]


def test_a_run_that_is_not_there_cannot_be_repeated(app):
    response = app.ask("POST", f"/v2/runs/{NOBODY}/rerun")
    assert response.status_code == 404
    assert response.json()["errors"][0]["code"] == "not_found"


# The Python SDK has no step that waits for a signal.
@pytest.mark.parametrize(
    "body, status, error",
    [({"signal": "nobody-waits", "data": 1}, 404, "No signal found"), ({"data": 1}, 400, "Invalid signal data"), ([], 400, "Invalid signal data")],
)
def test_a_signal_that_cannot_be_delivered_is_refused(app, body, status, error):
    response = app.ask("POST", "/v1/signals", body)
    assert (response.status_code, response.json()["error"]) == (status, error)
