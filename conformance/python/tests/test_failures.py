import collections
import datetime
import time

import inngest
import pytest

from app import definer, start_app

# The attempts that each function saw, with their times.
attempts: dict[str, list[tuple[int, float]]] = collections.defaultdict(list)
failures_seen: dict[str, dict] = {}


def note(ctx: inngest.Context, key: str) -> int:
    attempts[key].append((ctx.attempt, time.monotonic()))
    return ctx.attempt


def attempts_of(key: str) -> list[int]:
    return [attempt for attempt, _ in attempts[key]]


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-failures", functions)

    def works_at_third(ctx: inngest.Context, key: str) -> str:
        if note(ctx, key) < 2:
            raise ValueError(f"attempt {ctx.attempt} fails")
        return f"attempt {ctx.attempt} works"

    @function("flaky", retries=3)
    async def flaky(ctx: inngest.Context):
        return works_at_third(ctx, "flaky")

    @function("flaky-step", retries=3)
    async def flaky_step(ctx: inngest.Context):
        async def body():
            return works_at_third(ctx, "flaky-step")

        return await ctx.step.run("flaky", body)

    @function("always", retries=1)
    async def always(ctx: inngest.Context):
        note(ctx, "always")
        raise IndexError("never works")

    @function("no-retries", retries=0)
    async def no_retries(ctx: inngest.Context):
        note(ctx, "no-retries")
        raise ValueError("once only")

    @function("final", retries=3)
    async def final(ctx: inngest.Context):
        note(ctx, "final")
        raise inngest.NonRetriableError("do not try again")

    @function("final-step", retries=3)
    async def final_step(ctx: inngest.Context):
        async def body():
            note(ctx, "final-step")
            raise inngest.NonRetriableError("do not try again")

        return await ctx.step.run("final", body)

    def comes_back(ctx: inngest.Context, key: str) -> str:
        if note(ctx, key) == 0:
            raise inngest.RetryAfterError("come back", datetime.timedelta(seconds=4))
        return "came back"

    @function("later", retries=1)
    async def later(ctx: inngest.Context):
        return comes_back(ctx, "later")

    @function("later-step", retries=1)
    async def later_step(ctx: inngest.Context):
        async def body():
            return comes_back(ctx, "later-step")

        return await ctx.step.run("later", body)

    @function("rescued", retries=1)
    async def rescued(ctx: inngest.Context):
        async def broken():
            note(ctx, "rescued")
            raise TypeError("always broken")

        async def rescue():
            return "rescued"

        try:
            await ctx.step.run("broken", broken)
        except inngest.StepError as error:
            return {"rescue": await ctx.step.run("rescue", rescue), "name": error.name, "message": error.message}

    async def on_failure(ctx: inngest.Context):
        async def clean_up():
            return "cleaned"

        cleaned = await ctx.step.run("clean up", clean_up)
        data = ctx.event.data
        failures_seen["handled"] = {
            "message": data["error"]["message"],
            "run_id": data["run_id"],
            "function_id": data["function_id"],
            "event": data["event"]["name"],
            "clean_up": cleaned,
        }

    @function("handled", on_failure=on_failure)
    async def handled(ctx: inngest.Context):
        raise inngest.NonRetriableError("for the handler")

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-failures", define) as app:
        yield app


@pytest.mark.parametrize("fn_id", ["flaky", "flaky-step"])
def test_fails_twice_is_tried_again_works(app, fn_id):
    run = app.run(f"py-failures/{fn_id}")
    assert run["status"] == "Completed"
    assert run["output"] == "attempt 2 works"
    assert attempts_of(fn_id) == [0, 1, 2]


def test_a_function_that_always_fails_ends_with_its_error_after_its_attempts(app):
    run = app.run("py-failures/always")
    assert run["status"] == "Failed"
    assert attempts_of("always") == [0, 1]
    assert run["output"]["name"] == "IndexError"
    assert run["output"]["message"] == "never works"
    assert "never works" in run["output"]["stack"]


def test_no_retries_is_one_attempt(app):
    assert app.run("py-failures/no-retries")["status"] == "Failed"
    assert attempts_of("no-retries") == [0]


@pytest.mark.parametrize("fn_id", ["final", "final-step"])
def test_a_non_retriable_error_ends_the_run_at_once(app, fn_id):
    run = app.run(f"py-failures/{fn_id}")
    assert run["status"] == "Failed"
    assert run["output"]["message"] == "do not try again"
    assert attempts_of(fn_id) == [0]


@pytest.mark.parametrize("fn_id", ["later", "later-step"])
def test_a_retry_after_error_decides_when_to_try_again(app, fn_id):
    assert app.run(f"py-failures/{fn_id}")["output"] == "came back"
    assert attempts_of(fn_id) == [0, 1]
    (_, first), (_, second) = attempts[fn_id]
    assert second - first >= 2.5, "asked for 4 s as a date; the server's own interval is 1 s"


def test_a_steps_error_reaches_the_function_which_may_go_on(app):
    run = app.run("py-failures/rescued")
    assert run["status"] == "Completed"
    assert run["output"] == {"rescue": "rescued", "name": "TypeError", "message": "always broken"}
    assert attempts_of("rescued") == [0, 1]


def test_on_failure_runs_with_the_error_the_event_and_the_run_of_the_failure(app):
    run = app.run("py-failures/handled")
    assert run["status"] == "Failed"
    seen = app.until("the failure handler", lambda: failures_seen.get("handled"))
    assert seen == {
        "message": "for the handler",
        "run_id": run["run_id"],
        "function_id": "py-failures-handled",
        "event": "py-failures/handled",
        "clean_up": "cleaned",
    }
