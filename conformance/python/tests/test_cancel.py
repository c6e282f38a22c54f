"""Runs that are cancelled: by events, by request, by timeouts; and who hears of it."""

import collections
import datetime
import uuid

import inngest
import pytest

from app import definer, start_app
from gate import Gate

MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
SECOND = datetime.timedelta(seconds=1)
NOBODY = "01JZZZZZZZZZZZZZZZZZZZZZZZ"

held = Gate()
held_too_long = Gate()
queue = Gate()
starts_queue = Gate()
# How often each step's body ran, by run.
executions: collections.Counter[str] = collections.Counter()
# What listeners heard of each run: the event's name to the event.
heard: dict[str, dict[str, inngest.Event]] = collections.defaultdict(dict)


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-cancel", functions)
    by_key = inngest.Cancel(event="py-cancel/stop", if_exp="event.data.key == async.data.key")

    async def count(ctx: inngest.Context) -> None:
        executions[ctx.run_id] += 1

    async def on_failure(ctx: inngest.Context):
        heard[ctx.event.data["run_id"]]["the failure handler"] = ctx.event

    def then_counts(fn_id, **options):
        """A function that does something, then a step that counts."""

        def register(something):
            @function(fn_id, on_failure=on_failure, **options)
            async def handler(ctx: inngest.Context):
                await something(ctx)
                await ctx.step.run("after", count, ctx)
                return "ran to its end"

        return register

    @then_counts("sleeps", cancel=[by_key])
    async def sleeps(ctx: inngest.Context):
        await ctx.step.sleep("sleep", HOUR)

    @then_counts("waits", cancel=[by_key])
    async def waits(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-cancel/never", timeout=HOUR)

    @then_counts("invokes", cancel=[by_key])
    async def invokes(ctx: inngest.Context):
        await ctx.step.invoke_by_id("invoke", function_id="sleeps", data={"key": "of the invoked one"})

    @then_counts("several", cancel=[by_key])
    async def several(ctx: inngest.Context):
        await ctx.group.parallel(
            (
                lambda: ctx.step.sleep("sleep", HOUR),
                lambda: ctx.step.wait_for_event("wait", event="py-cancel/never", timeout=HOUR),
                lambda: ctx.step.run("done", count, ctx),
            )
        )

    @then_counts("in-flight", cancel=[by_key], concurrency=[inngest.Concurrency(limit=1)])
    async def in_flight(ctx: inngest.Context):
        await ctx.step.run("held", held.enter)

    @then_counts("queued", cancel=[by_key], concurrency=[inngest.Concurrency(limit=1)])
    async def queued(ctx: inngest.Context):
        await ctx.step.run("held", queue.enter)

    @then_counts("any-of-two", cancel=[inngest.Cancel(event="py-cancel/one"), inngest.Cancel(event="py-cancel/other")])
    async def any_of_two(ctx: inngest.Context):
        await ctx.step.sleep("sleep", HOUR)

    @then_counts(
        "own-trigger", cancel=[inngest.Cancel(event="py-cancel/own-trigger", if_exp="event.data.key == async.data.key")]
    )
    async def own_trigger(ctx: inngest.Context):
        await ctx.step.wait_for_event("go", event="py-cancel/go", if_exp="event.data.key == async.data.key", timeout=MINUTE)

    @then_counts("for-a-second", cancel=[inngest.Cancel(event="py-cancel/stop", timeout=SECOND)])
    async def for_a_second(ctx: inngest.Context):
        await ctx.step.sleep("until nobody listens", datetime.timedelta(seconds=2))
        await ctx.step.wait_for_event("go", event="py-cancel/go", if_exp="event.data.key == async.data.key", timeout=MINUTE)

    @then_counts("soon", timeouts=inngest.Timeouts(finish=SECOND))
    async def soon(ctx: inngest.Context):
        await ctx.step.sleep("sleep", HOUR)

    @then_counts("soon-in-flight", timeouts=inngest.Timeouts(finish=SECOND))
    async def soon_in_flight(ctx: inngest.Context):
        await ctx.step.run("held", held_too_long.enter)

    @then_counts("in-time", timeouts=inngest.Timeouts(start=MINUTE, finish=MINUTE))
    async def in_time(ctx: inngest.Context):
        await ctx.step.run("done", count, ctx)

    @then_counts("starts-soon", timeouts=inngest.Timeouts(start=SECOND), concurrency=[inngest.Concurrency(limit=1)])
    async def starts_soon(ctx: inngest.Context):
        await ctx.step.run("held", starts_queue.enter)

    @function("quick")
    async def quick(ctx: inngest.Context):
        return "quick"

    names = ("inngest/function.cancelled", "inngest/function.finished", "inngest/function.failed")

    @function("listener", trigger=[inngest.TriggerEvent(event=name, expression="event.data.function_id != 'py-cancel-listener'") for name in names])
    async def listener(ctx: inngest.Context):
        heard[ctx.event.data["run_id"]][ctx.event.name] = ctx.event

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-cancel", define) as app:
        yield app


def key() -> dict[str, str]:
    return {"key": str(uuid.uuid4())}


def assert_stays_cancelled(app, run_id: str, executed: int = 0) -> dict:
    run = app.end_of(run_id)
    assert run["status"] == "Cancelled"
    assert run["ended_at"]
    app.until("nothing to be queued for it", lambda: app.get(f"/v1/runs/{run_id}/jobs") == [])
    assert executions[run_id] == executed
    return run


@pytest.mark.parametrize("fn_id, executed", [("sleeps", 0), ("waits", 0), ("invokes", 0), ("several", 1)])
def test_an_event_cancels_the_run_whose_key_it_has(app, fn_id, executed):
    mine, another = key(), key()
    run_id, other = app.parked_at(f"py-cancel/{fn_id}", mine), app.parked_at(f"py-cancel/{fn_id}", another)
    app.send("py-cancel/stop", mine)
    assert_stays_cancelled(app, run_id, executed)
    assert app.get(f"/v1/runs/{other}")["status"] == "Running"
    app.send("py-cancel/stop", another)
    assert_stays_cancelled(app, other, executed)


def test_a_run_that_is_queued_is_cancelled_before_it_was_called(app):
    first, second = key(), key()
    in_the_way = app.start("py-cancel/queued", first)
    app.until("the first run to be inside", lambda: queue.inside == 1)
    run_id = app.start("py-cancel/queued", second)
    app.send("py-cancel/stop", second)
    assert_stays_cancelled(app, run_id)
    queue.release_one()
    assert app.end_of(in_the_way)["output"] == "ran to its end"
    assert queue.most == 1


def test_a_call_in_flight_loses_its_result_and_its_place(app):
    mine = key()
    run_id = app.start("py-cancel/in-flight", mine)
    app.until("the run to be inside", lambda: held.inside == 1)
    app.send("py-cancel/stop", mine)
    assert_stays_cancelled(app, run_id)
    # The place within the limit is free again, though the app may still be busy with what was cancelled.
    next_run = app.start("py-cancel/in-flight", key())
    held.release_one()
    app.until("the next run to be inside", lambda: (held.inside, held.left), lambda seen: seen == (1, 1))
    held.release_one()
    assert app.end_of(next_run)["output"] == "ran to its end"
    assert_stays_cancelled(app, run_id)


@pytest.mark.parametrize("event", ["py-cancel/one", "py-cancel/other"])
def test_any_of_several_events_cancels(app, event):
    run_id = app.parked_at("py-cancel/any-of-two")
    app.send(event)
    assert_stays_cancelled(app, run_id)


def test_the_event_that_starts_a_run_does_not_cancel_it_but_the_next_one_does(app):
    mine = key()
    first = app.parked_at("py-cancel/own-trigger", mine)
    second = app.parked_at("py-cancel/own-trigger", mine)
    assert_stays_cancelled(app, first)
    app.send("py-cancel/go", mine)
    assert app.end_of(second)["output"] == "ran to its end"


def test_nothing_is_cancelled_after_the_cancellations_timeout(app):
    mine = key()
    run_id = app.start("py-cancel/for-a-second", mine)
    app.until(
        "the wait after the sleep",
        lambda: app.get(f"/v1/runs/{run_id}/jobs"),
        lambda jobs: [job["kind"] for job in jobs] == ["wait-for-event"],
    )
    app.send("py-cancel/stop", mine)
    app.send("py-cancel/go", mine)
    assert app.end_of(run_id)["output"] == "ran to its end"


def test_a_request_cancels_a_run_and_an_ended_one_stays_as_it_is(app):
    run_id = app.parked_at("py-cancel/sleeps", key())
    assert app.ask("DELETE", f"/v1/runs/{run_id}").status_code == 200
    assert_stays_cancelled(app, run_id)
    run = app.run("py-cancel/quick")
    app.ask("DELETE", f"/v1/runs/{run['run_id']}")
    assert app.get(f"/v1/runs/{run['run_id']}")["output"] == "quick"


def test_a_request_for_a_run_that_is_not_there_is_refused(app):
    response = app.ask("DELETE", f"/v1/runs/{NOBODY}")
    assert response.status_code == 404
    assert NOBODY in response.json()["error"]


def test_listeners_hear_of_a_cancelled_run_and_the_failure_handler_does_not(app):
    mine = key()
    run_id = app.parked_at("py-cancel/sleeps", mine)
    app.send("py-cancel/stop", mine)
    app.until("both announcements", lambda: len(heard[run_id]) >= 2)
    app.run("py-cancel/quick")
    assert set(heard[run_id]) == {"inngest/function.cancelled", "inngest/function.finished"}
    for event in heard[run_id].values():
        assert event.data["function_id"] == "py-cancel-sleeps"
        assert event.data["event"]["name"] == "py-cancel/sleeps"
        assert event.data["event"]["data"] == mine
        assert event.data["_inngest"]["status"] == "Cancelled"
    assert heard[run_id]["inngest/function.cancelled"].id == run_id


def test_a_run_that_sleeps_past_its_finish_timeout_is_cancelled(app):
    assert_stays_cancelled(app, app.start("py-cancel/soon"))


def test_a_call_in_flight_past_the_finish_timeout_is_given_up(app):
    run_id = app.start("py-cancel/soon-in-flight")
    app.until("the run to be inside", lambda: held_too_long.inside == 1)
    assert_stays_cancelled(app, run_id)
    held_too_long.release_one()
    app.until("it to leave", lambda: held_too_long.left == 1)
    app.run("py-cancel/quick")
    assert_stays_cancelled(app, run_id)


def test_a_run_within_its_timeouts_is_left_alone(app):
    assert app.run("py-cancel/in-time")["output"] == "ran to its end"


def test_a_run_that_is_not_called_in_time_is_cancelled_and_never_called(app):
    in_the_way = app.start("py-cancel/starts-soon")
    app.until("the first run to be inside", lambda: starts_queue.inside == 1)
    run_id = app.start("py-cancel/starts-soon")
    assert_stays_cancelled(app, run_id)
    starts_queue.release_one()
    assert app.end_of(in_the_way)["output"] == "ran to its end"
    assert starts_queue.most == 1
