"""step.invoke: what a function gets of another one's end, or of what kept it from running."""

import asyncio
import datetime
import uuid

import inngest
import pytest

from app import definer, join_app, start_app

MINUTE = datetime.timedelta(minutes=1)
MISSING = "could not find function with ID: py-invoke-nobody"
VALUES = {"object": {"a": [1, {"b": None}]}, "text": "größe ✓", "zero": 0, "false": False, "empty": [], "none": None}


async def outcome(invocation) -> dict:
    try:
        return {"value": await invocation}
    except inngest.StepError as error:
        return {"error": [error.name, error.message]}


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-invoke", functions)

    @function("call")
    async def call(ctx: inngest.Context):
        data = ctx.event.data
        return await outcome(
            ctx.step.invoke_by_id(
                "call", function_id=data["target"], app_id=data.get("app_id"), data=data.get("data"), timeout=data.get("timeout_ms")
            )
        )

    @function("call-uncaught")
    async def call_uncaught(ctx: inngest.Context):
        await ctx.step.invoke_by_id("call", function_id=ctx.event.data["target"])

    @function("call-all")
    async def call_all(ctx: inngest.Context):
        def call(step_id, target, data):
            return lambda: outcome(ctx.step.invoke_by_id(step_id, function_id=target, data=data))

        return await ctx.group.parallel(
            (call("one", "double", {"number": 1}), call("two", "fails", {}), call("three", "double", {"number": 3}), call("four", "nobody", {}))
        )

    # No trigger of its own is ever sent: these are only invoked.
    double = client.create_function(fn_id="double", trigger=inngest.TriggerEvent(event="py-invoke/unused"))

    @double
    async def double(ctx: inngest.Context):
        async def body():
            return ctx.event.data["number"] * 2

        return await ctx.step.run("double", body)

    functions.append(double)

    @function("call-object")
    async def call_object(ctx: inngest.Context):
        return await ctx.step.invoke("call", function=double, data={"number": 21}, timeout=MINUTE)

    @function("echo")
    async def echo(ctx: inngest.Context):
        return VALUES[ctx.event.data["which"]]

    @function("show-event")
    async def show_event(ctx: inngest.Context):
        return {"name": ctx.event.name, "data": ctx.event.data, "events": len(ctx.events), "ts": ctx.event.ts}

    @function("fails", retries=1)
    async def fails(ctx: inngest.Context):
        raise IndexError("no such thing")

    @function("fails-for-good", retries=3)
    async def fails_for_good(ctx: inngest.Context):
        raise inngest.NonRetriableError("for good")

    @function("works-at-second", retries=1)
    async def works_at_second(ctx: inngest.Context):
        if ctx.attempt == 0:
            raise ValueError("not yet")
        return "at last"

    @function("waits")
    async def waits(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-invoke/never", timeout=datetime.timedelta(hours=1))

    @function("limited", rate_limit=inngest.RateLimit(limit=1, period=datetime.timedelta(hours=1), key="event.data.key"))
    async def limited(ctx: inngest.Context):
        return "ran"

    @function("single", singleton=inngest.Singleton(mode="skip"))
    async def single(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-invoke/single-may-end", timeout=MINUTE)
        return "ran"

    @function("paused")
    async def paused(ctx: inngest.Context):
        return "ran"

    @function("debounced", debounce=inngest.Debounce(period=datetime.timedelta(seconds=1)))
    async def debounced(ctx: inngest.Context):
        return ctx.event.data["number"]

    @function("batched", batch_events=inngest.Batch(max_size=2, timeout=MINUTE))
    async def batched(ctx: inngest.Context):
        return sorted(event.data["number"] for event in ctx.events)

    return functions


def define_other(client: inngest.Inngest) -> list[inngest.Function]:
    @client.create_function(fn_id="double", trigger=inngest.TriggerEvent(event="py-invoke-other/unused"))
    async def double(ctx: inngest.Context):
        await asyncio.sleep(0)
        return f"the other app's {ctx.event.data['number']}"

    return [double]


@pytest.fixture(scope="module")
def app():
    with start_app("py-invoke", define) as app:
        yield app


def call(app, target, data=None, **rest):
    run = app.run("py-invoke/call", {"target": target, "data": data, **rest})
    assert run["status"] == "Completed"
    return run["output"]


def call_begun(app, target, data=None, **rest) -> str:
    """Begins to invoke a function; the id of the run that waits for it."""
    return app.parked_at("py-invoke/call", {"target": target, "data": data, **rest})


def run_invoked_by(app, caller: str) -> str:
    """The id of the one run that a run has invoked."""

    def invocations() -> list[dict]:
        found = app.get("/v1/events?name=inngest/function.invoked&limit=51")
        return [event for event in found if event["data"]["_inngest"].get("correlation_id", "").startswith(f"{caller}.")]

    [event] = app.until("the invocation", invocations)
    return app.run_of(event["internal_id"])


def test_an_invoked_functions_value_is_the_steps(app):
    run = app.run("py-invoke/call-object")
    assert run["status"] == "Completed"
    assert run["output"] == 42
    assert app.calls_of("call-object") == ["step", "step"]


@pytest.mark.parametrize("which", VALUES)
def test_an_invoked_function_may_return(app, which):
    assert call(app, "echo", {"which": which}) == {"value": VALUES[which]}


def test_an_invoked_function_sees_an_invocation_with_its_data(app):
    seen = call(app, "show-event", {"number": 1})["value"]
    assert seen["name"] == "inngest/function.invoked"
    assert seen["data"]["number"] == 1
    assert seen["data"]["_inngest"]["fn_id"] == "py-invoke-show-event"
    assert (seen["events"], seen["ts"] > 0) == (1, True)


def test_without_data_an_invoked_function_sees_an_empty_object(app):
    assert set(call(app, "show-event")["value"]["data"]) == {"_inngest"}


def test_a_function_of_another_app_is_called_by_its_apps_name(app):
    with join_app(app.server, "py-invoke-other", define_other):
        assert call(app, "double", {"number": 5}, app_id="py-invoke-other") == {"value": "the other app's 5"}
        assert call(app, "double", {"number": 5}) == {"value": 10}


def test_an_invoked_function_is_tried_again_before_the_step_ends(app):
    assert call(app, "works-at-second") == {"value": "at last"}


@pytest.mark.parametrize(
    "target, error",
    [("fails", ["IndexError", "no such thing"]), ("fails-for-good", ["NonRetriableError", "for good"]), ("nobody", ["Error", MISSING])],
)
def test_the_step_fails_with_the_error_of_the_function(app, target, error):
    assert call(app, target) == {"error": error}


def test_an_error_that_is_not_caught_fails_the_caller_too_and_at_once(app):
    run = app.run("py-invoke/call-uncaught", {"target": "fails-for-good"})
    assert run["status"] == "Failed"
    assert (run["output"]["name"], run["output"]["message"]) == ("NonRetriableError", "for good")
    assert app.calls_of("call-uncaught") == ["step", "step"]


def test_a_function_that_takes_too_long_goes_on_without_its_caller(app):
    run = app.run("py-invoke/call", {"target": "waits", "timeout_ms": 1_000})
    assert run["output"] == {"error": ["InngestInvokeTimeoutError", "Timed out waiting for invoked function to complete"]}
    invoked = run_invoked_by(app, run["run_id"])
    assert app.get(f"/v1/runs/{invoked}")["status"] == "Running"
    app.ask("DELETE", f"/v1/runs/{invoked}")
    assert app.end_of(invoked)["status"] == "Cancelled"
    assert app.end_of(run["run_id"])["output"] == run["output"]


def test_functions_are_called_at_once_and_each_answers_its_own_step(app):
    assert app.run("py-invoke/call-all")["output"] == [
        {"value": 2},
        {"error": ["IndexError", "no such thing"]},
        {"value": 6},
        {"error": ["Error", MISSING]},
    ]


def test_a_function_over_its_rate_limit_answers_so(app):
    data = {"key": str(uuid.uuid4())}
    assert call(app, "limited", data) == {"value": "ran"}
    assert call(app, "limited", data) == {"error": ["Error", "invoked function is rate limited"]}


def test_a_function_that_is_cancelled_answers_so(app):
    caller = call_begun(app, "waits")
    invoked = run_invoked_by(app, caller)
    assert app.ask("DELETE", f"/v1/runs/{invoked}").status_code == 200
    assert "was cancelled" in app.end_of(caller)["output"]["error"][1]


def test_a_function_that_is_skipped_for_a_running_one_answers_so(app):
    first = call_begun(app, "single")
    assert "was skipped" in call(app, "single")["error"][1]
    app.until("the running one to wait", lambda: app.send("py-invoke/single-may-end") and app.get(f"/v1/runs/{first}")["status"] == "Completed")
    assert app.end_of(first)["output"] == {"value": "ran"}


def test_a_paused_function_answers_so(app):
    pause = "/v1/apps/py-invoke/functions/paused/pause"
    assert app.ask("POST", pause).status_code == 200
    assert "was skipped" in call(app, "paused")["error"][1]
    assert app.ask("DELETE", pause).status_code == 200
    assert call(app, "paused") == {"value": "ran"}


def test_of_two_debounced_calls_the_first_hears_that_it_was_superseded(app):
    first = call_begun(app, "debounced", {"number": 1})
    second = call_begun(app, "debounced", {"number": 2})
    assert app.end_of(second)["output"] == {"value": 2}
    assert "another event of its debounce window" in app.end_of(first)["output"]["error"][1]


def test_calls_that_share_a_batch_all_get_its_value(app):
    callers = [call_begun(app, "batched", {"number": 1}), app.start("py-invoke/call", {"target": "batched", "data": {"number": 2}})]
    assert [app.end_of(caller)["output"] for caller in callers] == [{"value": [1, 2]}] * 2


def test_a_function_is_invoked_over_http_by_its_public_id(app):
    response = app.ask("POST", "/invoke/py-invoke-double", {"name": "whatever", "data": {"number": 4}})
    assert response.status_code == 200
    assert response.json()["status"] == 200
    [run] = app.ended(response.json()["id"])
    assert run["output"] == 8


@pytest.mark.parametrize("slug, body, status", [("py-invoke-nobody", {"data": {}}, 404), ("py-invoke-double", ["not an object"], 400)])
def test_an_invocation_over_http_that_cannot_be_says_why(app, slug, body, status):
    response = app.ask("POST", f"/invoke/{slug}", body)
    assert response.status_code == status
    assert response.json()["error"]
