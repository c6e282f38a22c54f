"""step.wait_for_event: what a function gets for its wait."""

import datetime
import typing

import inngest
import pytest

from app import definer, start_app

MINUTE = datetime.timedelta(minutes=1)
SECOND = datetime.timedelta(seconds=1)
failures_seen: dict[str, dict] = {}


def facts(event: inngest.Event | None) -> dict | None:
    return event and {"id": event.id, "name": event.name, "data": event.data, "ts": event.ts}


def number_of(event: inngest.Event | None) -> typing.Any:
    return event and event.data["number"]


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-waits", functions)

    @function("answer")
    async def answer(ctx: inngest.Context):
        found = await ctx.step.wait_for_event(
            "answer", event="py-waits/the-answer", if_exp="event.data.id == async.data.id", timeout=MINUTE
        )
        return facts(found)

    @function("any")
    async def any_event(ctx: inngest.Context):
        return facts(await ctx.step.wait_for_event("any", event=ctx.event.data["event"], timeout=MINUTE))

    @function("condition")
    async def condition(ctx: inngest.Context):
        data = ctx.event.data
        return facts(await ctx.step.wait_for_event("wait", event=data["event"], if_exp=data["if"], timeout=MINUTE))

    @function("in-vain")
    async def in_vain(ctx: inngest.Context):
        first = await ctx.step.wait_for_event("first", event="py-waits/never", timeout=SECOND)
        second = await ctx.step.wait_for_event("second", event="py-waits/never", timeout=1_000)
        return [facts(first), facts(second)]

    @function("too-late")
    async def too_late(ctx: inngest.Context):
        [event_id] = await ctx.step.send_event("tell", inngest.Event(name="py-waits/early", data={"number": 1}))
        return {"sent": event_id, "found": facts(await ctx.step.wait_for_event("wait", event="py-waits/early", timeout=SECOND))}

    @function("again")
    async def again(ctx: inngest.Context):
        return [number_of(await ctx.step.wait_for_event("same id", event="py-waits/next", timeout=MINUTE)) for _ in range(3)]

    @function("two-at-once")
    async def two_at_once(ctx: inngest.Context):
        def wait(step_id, event, timeout):
            return lambda: ctx.step.wait_for_event(step_id, event=event, timeout=timeout)

        waits = [wait("a", "py-waits/both", MINUTE), wait("b", "py-waits/both", MINUTE), wait("c", "py-waits/never", SECOND)]
        return [number_of(found) for found in await ctx.group.parallel(tuple(waits))]

    async def on_failure(ctx: inngest.Context):
        failures_seen[ctx.event.data["run_id"]] = dict(ctx.event.data["error"])

    @function("not-an-expression", on_failure=on_failure)
    async def not_an_expression(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-waits/never", if_exp="event.data.id == ", timeout=MINUTE)

    @function("wait-for-years", on_failure=on_failure)
    async def wait_for_years(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-waits/never", timeout=datetime.timedelta(days=367))

    @function("sleep-for-years", on_failure=on_failure)
    async def sleep_for_years(ctx: inngest.Context):
        await ctx.step.sleep("sleep", datetime.timedelta(days=368))

    @function("hears-an-end")
    async def hears_an_end(ctx: inngest.Context):
        ended = await ctx.step.wait_for_event(
            "end", event="inngest/function.finished", if_exp="async.data.event.data.key == event.data.key", timeout=MINUTE
        )
        return ended and {"result": ended.data["result"], "run_id": ended.data["run_id"], "function_id": ended.data["function_id"]}

    @function("stopped-by-an-end", cancel=[inngest.Cancel(event="inngest/function.finished", if_exp="async.data.event.data.key == event.data.key")])
    async def stopped_by_an_end(ctx: inngest.Context):
        await ctx.step.sleep("sleep", MINUTE)

    @function("quick")
    async def quick(ctx: inngest.Context):
        return {"quick": True}

    @function("wait-too-short", retries=0)
    async def wait_too_short(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-waits/never", timeout=10)

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-waits", define) as app:
        yield app


def test_a_wait_ends_with_the_event_that_meets_its_condition_and_no_other(app):
    run_id = app.parked_at("py-waits/answer", {"id": "mine"})
    app.send("py-waits/the-answer", {"id": "another", "number": 1})
    app.send("py-waits/other-name", {"id": "mine", "number": 2})
    app.send("py-waits/the-answer", {"id": "mine", "number": 3}, id=f"answer-{run_id}", ts=1767225600000)
    run = app.end_of(run_id)
    assert run["status"] == "Completed"
    assert run["output"] == {
        "id": f"answer-{run_id}",
        "name": "py-waits/the-answer",
        "data": {"id": "mine", "number": 3},
        "ts": 1767225600000,
    }
    # The call that asked for the wait, and the one after its end.
    assert app.calls_of("answer") == ["step", "step"]


def test_an_event_without_an_id_of_its_own_has_the_one_that_send_answered(app):
    run_id = app.parked_at("py-waits/any", {"event": "py-waits/anonymous"})
    event_id = app.send("py-waits/anonymous")
    output = app.end_of(run_id)["output"]
    assert (output["id"], output["data"]) == (event_id, {})
    assert output["ts"] > 1767225600000


def test_a_wait_in_vain_ends_with_none_and_so_does_the_next(app):
    run = app.run("py-waits/in-vain")
    assert run["status"] == "Completed"
    assert run["output"] == [None, None]


def test_an_event_that_came_before_the_wait_does_not_end_it(app):
    output = app.run("py-waits/too-late")["output"]
    assert app.get(f"/v1/events/{output['sent']}")["name"] == "py-waits/early"
    assert output["found"] is None


def test_one_event_ends_every_wait_for_it(app):
    runs = [app.parked_at("py-waits/any", {"event": "py-waits/for-all"}) for _ in range(5)]
    event_id = app.send("py-waits/for-all")
    assert [app.end_of(run_id)["output"]["id"] for run_id in runs] == [event_id] * 5


def test_a_duplicate_of_an_event_starts_nothing_but_ends_waits(app):
    first = app.parked_at("py-waits/any", {"event": "py-waits/twice"})
    duplicate_id = f"twice-{first}"
    app.send("py-waits/twice", {"number": 1}, id=duplicate_id)
    app.end_of(first)
    second = app.parked_at("py-waits/any", {"event": "py-waits/twice"})
    app.send("py-waits/twice", {"number": 2}, id=duplicate_id)
    assert app.end_of(second)["output"]["data"] == {"number": 2}


def test_waits_under_one_id_each_take_an_event_of_their_own(app):
    run_id = app.parked_at("py-waits/again")
    for number in range(3):
        [job] = app.parked(run_id)
        app.send("py-waits/next", {"number": number})
        app.until(
            "the next wait or the end",
            lambda: app.get(f"/v1/runs/{run_id}/jobs"),
            lambda jobs: [each["JobID"] for each in jobs] != [job["JobID"]],
        )
    assert app.end_of(run_id)["output"] == [0, 1, 2]


def test_waits_at_once_share_an_event_and_one_of_them_may_be_in_vain(app):
    run_id = app.parked_at("py-waits/two-at-once")
    app.send("py-waits/both", {"number": 7})
    assert app.end_of(run_id)["output"] == [7, 7, None]


# A condition, the data of the run's event, data that do not meet it, data that do.
CONDITIONS = {
    "greater": ("async.data.n > event.data.n", {"n": 5}, [{"n": 5}, {"n": "six"}, {}], {"n": 5.5}),
    "text": ("async.data.text == 'größe ✓'", {}, [{"text": "größe"}, {"text": None}], {"text": "größe ✓"}),
    "any-of": ("async.data.n in event.data.all", {"all": [1, 2]}, [{"n": 3}, {}], {"n": 2}),
    "is-missing": ("async.data.gone == null", {}, [{"gone": 0}, {"gone": ""}], {"other": 1}),
    "both-missing": ("async.data.id == event.data.id", {}, [{"id": "x"}, {"id": 0}], {"id": None}),
    "parts": (
        "async.data.a == 1 && (async.data.b == 2 || async.data.c == event.data.c)",
        {"c": 3},
        [{"a": 1}, {"a": 1, "b": 3, "c": 2}, {"b": 2, "c": 3}],
        {"a": 1, "c": 3},
    ),
    "odd-key": ("async.data['odd key'].inner[1] == event.data.x", {"x": "y"}, [{"odd key": {"inner": ["y"]}}], {"odd key": {"inner": [0, "y"]}}),
    "negated": ("!(async.data.done == true)", {}, [{"done": True}], {"done": False}),
    "large": ("async.data.n == 9007199254740991", {}, [{"n": 9007199254740990}], {"n": 9007199254740991}),
    "quotes": ("async.data.a == event.data.a", {"a": "it's \"quoted\" \\"}, [{"a": "it's"}], {"a": "it's \"quoted\" \\"}),
}


@pytest.mark.parametrize("row", CONDITIONS)
def test_a_condition_reads_the_runs_event_and_the_one_that_comes(app, row):
    condition, data, misses, hit = CONDITIONS[row]
    event = f"py-waits/condition-{row}"
    run_id = app.parked_at("py-waits/condition", {"event": event, "if": condition, **data})
    for miss in misses:
        app.send(event, miss)
    app.send(event, hit, id=f"hit-{run_id}")
    assert app.end_of(run_id)["output"]["id"] == f"hit-{run_id}"


def test_a_condition_that_does_not_compile_fails_the_run_at_once_and_says_where(app):
    run = app.run("py-waits/not-an-expression")
    assert run["status"] == "Failed"
    assert run["output"]["name"] == "InvalidExpression"
    assert run["output"]["error"] == "InvalidExpression: Wait for event If expression failed to compile"
    assert "Wait for event If expression failed to compile" in run["output"]["message"]
    assert "column 17" in run["output"]["message"]
    assert app.calls_of("not-an-expression") == ["step"], "trying again would not help"
    assert app.until("the failure handler", lambda: failures_seen.get(run["run_id"]))["message"] == run["output"]["message"]


@pytest.mark.parametrize("fn_id", ["wait-for-years", "sleep-for-years"])
def test_more_than_366_days_fail_the_run_at_once(app, fn_id):
    run = app.run(f"py-waits/{fn_id}")
    assert run["status"] == "Failed"
    assert run["output"]["name"] == "InngestErrTimeoutTooLong"
    assert app.calls_of(fn_id) == ["step"]
    assert app.until("the failure handler", lambda: failures_seen.get(run["run_id"]))["name"] == "InngestErrTimeoutTooLong"


def test_the_end_of_another_run_ends_a_wait_that_is_for_it(app):
    run_id = app.parked_at("py-waits/hears-an-end", {"key": "end-to-wait-for"})
    quick = app.run("py-waits/quick", {"key": "end-to-wait-for"})
    output = app.end_of(run_id)["output"]
    assert output == {"result": {"quick": True}, "run_id": quick["run_id"], "function_id": "py-waits-quick"}


def test_the_end_of_another_run_cancels_one_that_listens_to_it(app):
    run_id = app.parked_at("py-waits/stopped-by-an-end", {"key": "end-that-stops"})
    app.run("py-waits/quick", {"key": "end-that-stops"})
    assert app.end_of(run_id)["status"] == "Cancelled"


def test_a_wait_of_less_than_a_second_is_refused_by_the_sdk(app):
    run = app.run("py-waits/wait-too-short")
    assert run["status"] == "Failed"
    assert run["output"]["message"] == "duration must be at least 1 second"
