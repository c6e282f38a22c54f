"""Every step of an ordinary, not asynchronous function: the SDK has them a second time."""

import collections
import datetime

import inngest
import pytest

from app import definer, start_app

MINUTE = datetime.timedelta(minutes=1)
SECOND = datetime.timedelta(seconds=1)
executions: collections.Counter[tuple[str, str]] = collections.Counter()
failures_seen: dict[str, str] = {}


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-sync-handlers", functions)

    def counted(ctx: inngest.ContextSync, step_id: str, result, fails: int = 0):
        def body():
            executions[ctx.run_id, step_id] += 1
            if executions[ctx.run_id, step_id] <= fails:
                raise ValueError(f"{step_id} fails")
            return result

        return ctx.step.run(step_id, body)

    @function("waits")
    def waits(ctx: inngest.ContextSync):
        found = ctx.step.wait_for_event(
            "wait", event="py-sync-handlers/go", if_exp="event.data.key == async.data.key", timeout=MINUTE
        )
        in_vain = ctx.step.wait_for_event("in vain", event="py-sync-handlers/never", timeout=SECOND)
        return {"found": found and found.data["number"], "in_vain": in_vain}

    double = client.create_function(fn_id="double", trigger=[])

    @double
    def double(ctx: inngest.ContextSync):
        return ctx.event.data["number"] * 2

    functions.append(double)

    @function("invokes")
    def invokes(ctx: inngest.ContextSync):
        doubled = ctx.step.invoke("by object", function=double, data={"number": 21})
        again = ctx.step.invoke_by_id("by id", function_id="double", data={"number": doubled})
        try:
            ctx.step.invoke_by_id("nobody", function_id="nobody")
        except inngest.StepError as error:
            return {"again": again, "error": error.message}

    @function("sleeps")
    def sleeps(ctx: inngest.ContextSync):
        ctx.step.sleep("sleep", SECOND)
        ctx.step.sleep_until("until", datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc))
        return counted(ctx, "after", "awake")

    @function("sends")
    def sends(ctx: inngest.ContextSync):
        return ctx.step.send_event("send", [inngest.Event(name="py-sync-handlers/heard", data={"number": number}) for number in (1, 2)])

    @function("heard")
    def heard(ctx: inngest.ContextSync):
        return ctx.event.data["number"]

    @function("groups", retries=1)
    def groups(ctx: inngest.ContextSync):
        mode = inngest.ParallelMode(ctx.event.data["mode"])
        first = ctx.group.parallel(
            (
                lambda: counted(ctx, "a", 1, fails=1),
                lambda: counted(ctx, "b", 2),
                lambda: ctx.step.invoke("c", function=double, data={"number": 2}),
                lambda: ctx.step.sleep("nap", SECOND),
            ),
            parallel_mode=mode,
        )
        try:
            ctx.group.parallel((lambda: counted(ctx, "d", 1, fails=9), lambda: counted(ctx, "e", 2)), parallel_mode=mode)
        except inngest.StepError as error:
            return [*first, counted(ctx, "rescue", error.message)]

    @function("nested", retries=1)
    def nested(ctx: inngest.ContextSync):
        return ctx.step.run("outer", lambda: ctx.step.run("inner", lambda: 1))

    @function("batched", batch_events=inngest.Batch(max_size=2, timeout=MINUTE))
    def batched(ctx: inngest.ContextSync):
        return [event.data["number"] for event in ctx.events]

    def on_failure(ctx: inngest.ContextSync):
        message = ctx.event.data["error"]["message"]
        failures_seen[ctx.event.data["run_id"]] = ctx.step.run("clean up", lambda: f"cleaned after: {message}")

    @function("fails", retries=1, on_failure=on_failure)
    def fails(ctx: inngest.ContextSync):
        executions[ctx.run_id, "fails"] += 1
        raise ValueError(f"attempt {ctx.attempt}")

    @function("fails-for-good", retries=3, on_failure=on_failure)
    def fails_for_good(ctx: inngest.ContextSync):
        executions[ctx.run_id, "fails"] += 1
        raise inngest.NonRetriableError("for good")

    @function("comes-back", retries=1)
    def comes_back(ctx: inngest.ContextSync):
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("come back", 1_000)
        return "came back"

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-sync-handlers", define) as app:
        yield app


def test_waits(app):
    data = {"key": "only", "number": 3}
    run_id = app.parked_at("py-sync-handlers/waits", data)
    app.send("py-sync-handlers/go", data)
    assert app.end_of(run_id)["output"] == {"found": 3, "in_vain": None}


def test_invocations(app):
    output = app.run("py-sync-handlers/invokes")["output"]
    assert output == {"again": 84, "error": "could not find function with ID: py-sync-handlers-nobody"}


def test_sleeps(app):
    run = app.run("py-sync-handlers/sleeps")
    assert run["output"] == "awake"
    assert executions[run["run_id"], "after"] == 1


def test_sent_events(app):
    ids = app.run("py-sync-handlers/sends")["output"]
    assert [app.ended(event_id)[0]["output"] for event_id in ids] == [1, 2]


@pytest.mark.parametrize("mode", ["wait", "race"])
def test_groups(app, mode):
    run = app.run("py-sync-handlers/groups", {"mode": mode})
    assert run["output"] == [1, 2, 4, None, "d fails"]
    assert [executions[run["run_id"], step_id] for step_id in ("a", "b", "d", "rescue")] == [2, 1, 2, 1]


def test_a_step_within_a_step(app):
    run = app.run("py-sync-handlers/nested")
    assert run["status"] == "Failed"
    assert "Nested steps are not supported" in run["output"]["message"]


def test_batches(app):
    ids = app.client.send_sync([inngest.Event(name="py-sync-handlers/batched", data={"number": number}) for number in (1, 2)])
    assert [app.ended(event_id)[0]["output"] for event_id in ids] == [[1, 2]] * 2


@pytest.mark.parametrize("fn_id, attempts, message", [("fails", 2, "attempt 1"), ("fails-for-good", 1, "for good")])
def test_failures_and_their_handlers(app, fn_id, attempts, message):
    run = app.run(f"py-sync-handlers/{fn_id}")
    assert run["status"] == "Failed"
    assert run["output"]["message"] == message
    assert executions[run["run_id"], "fails"] == attempts
    assert app.until("the failure handler", lambda: failures_seen.get(run["run_id"])) == f"cleaned after: {message}"


def test_an_error_that_says_when_to_try_again(app):
    assert app.run("py-sync-handlers/comes-back")["output"] == "came back"
