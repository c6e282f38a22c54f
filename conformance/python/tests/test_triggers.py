"""What starts a function: events by name, pattern and condition, at their time; the ends of other runs."""

import collections
import datetime
import time

import inngest
import pytest

from app import definer, start_app

heard: dict[str, list[inngest.Event]] = collections.defaultdict(list)


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-triggers", functions)

    def answers(fn_id, *triggers):
        @function(fn_id, trigger=[inngest.TriggerEvent(event=event, expression=condition) for event, condition in triggers])
        async def handler(ctx: inngest.Context):
            return {"ran": fn_id, "for": ctx.event.name}

    answers("either", ("py-triggers/one", None), ("py-triggers/other", "event.data.number > 1"))
    answers("twice-the-same-event", ("py-triggers/overlapping", None), ("py-triggers/*", "event.name == 'py-triggers/overlapping'"))
    answers("slash", ("py-triggers/wild/*", None))
    answers("dot", ("py-triggers/dotted.*", None))
    answers("conditional", ("py-triggers/conditional", "event.data.plan == 'pro' && event.data.items.exists(item, item.cents > 1000)"))
    answers("never-evaluates", ("py-triggers/never-evaluates", "int(event.data.text) > 1"))
    answers("only-invoked")

    @function("on-time")
    async def on_time(ctx: inngest.Context):
        return {"started": int(time.time() * 1000), "ts": ctx.event.ts}

    @function("works")
    async def works(ctx: inngest.Context):
        return {"answer": 42}

    @function("fails", retries=0)
    async def fails(ctx: inngest.Context):
        raise ValueError("not today")

    def listens_to(fn_id, name):
        @function(fn_id, trigger=inngest.TriggerEvent(event=name), retries=0)
        async def listener(ctx: inngest.Context):
            heard[fn_id].append(ctx.event)
            if fn_id == "hears-failures":
                raise ValueError("a listener fails, too")

    listens_to("hears-ends", "inngest/function.finished")
    listens_to("hears-failures", "inngest/function.failed")

    @function("started-by-ends", trigger=inngest.TriggerEvent(event="inngest/function.finished", expression="event.data.result.answer == 42"))
    async def started_by_ends(ctx: inngest.Context):
        heard["started-by-ends"].append(ctx.event)

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-triggers", define) as app:
        yield app


def assert_starts(app, event_id: str, *function_ids: str) -> None:
    runs = app.ended(event_id, count=len(function_ids))
    assert sorted(run["output"]["ran"] for run in runs) == sorted(function_ids)


def assert_starts_nothing(app, event_id: str) -> None:
    app.run("py-triggers/one")
    assert app.get(f"/v1/events/{event_id}/runs") == []


def test_any_of_several_triggers_starts_a_function_each_by_its_own_condition(app):
    assert app.run("py-triggers/one")["output"] == {"ran": "either", "for": "py-triggers/one"}
    assert app.run("py-triggers/other", {"number": 2})["output"] == {"ran": "either", "for": "py-triggers/other"}
    assert_starts_nothing(app, app.send("py-triggers/other", {"number": 1}))


def test_one_event_that_meets_two_triggers_of_a_function_starts_it_once(app):
    event_id = app.send("py-triggers/overlapping")
    assert_starts(app, event_id, "twice-the-same-event")
    app.run("py-triggers/one")
    assert len(app.get(f"/v1/events/{event_id}/runs")) == 1


@pytest.mark.parametrize(
    "name, function_id",
    [
        ("py-triggers/wild/a", "slash"),
        ("py-triggers/wild/a/b.c", "slash"),
        ("py-triggers/dotted.created", "dot"),
        ("py-triggers/dotted.created.twice", "dot"),
        ("py-triggers/wild", None),
        ("py-triggers/wilder/a", None),
        ("py-triggers/dotted", None),
        ("py-triggers/dotted/created", None),
        ("py-triggers/Wild/a", None),
    ],
)
def test_a_pattern_stands_for_all_that_follows_its_separator(app, name, function_id):
    event_id = app.send(name)
    if function_id:
        assert_starts(app, event_id, function_id)
    else:
        assert_starts_nothing(app, event_id)


def test_a_condition_that_is_not_met_starts_nothing_and_says_what_it_read(app):
    assert_starts(app, app.send("py-triggers/conditional", {"plan": "pro", "items": [{"cents": 1}, {"cents": 1001}]}), "conditional")
    event_id = app.send("py-triggers/conditional", {"plan": "free", "items": [{"cents": 1001}]})
    assert_starts_nothing(app, event_id)
    verdict = app.verdict(event_id, "conditional")
    assert verdict["verdict"] == "filtered"
    assert "plan" in verdict["part"]
    assert "free" in str(verdict["values"])
    event_id = app.send("py-triggers/conditional", {"plan": "pro", "items": []})
    assert_starts_nothing(app, event_id)
    assert "items" in app.verdict(event_id, "conditional")["part"]


@pytest.mark.parametrize("data", [{}, {"plan": "pro"}, {"plan": "pro", "items": "no list"}, {"plan": 1, "items": [{}]}])
def test_a_condition_over_data_of_another_shape_is_not_met(app, data):
    assert_starts_nothing(app, app.send("py-triggers/conditional", data))


def test_a_condition_that_fails_to_evaluate_is_not_met(app):
    assert_starts_nothing(app, app.send("py-triggers/never-evaluates", {"text": "no number"}))
    assert_starts(app, app.send("py-triggers/never-evaluates", {"text": "2"}), "never-evaluates")


def test_a_function_without_triggers_runs_when_it_is_invoked(app):
    response = app.ask("POST", "/invoke/py-triggers-only-invoked", {"data": {}})
    [run] = app.ended(response.json()["id"])
    assert run["output"] == {"ran": "only-invoked", "for": "inngest/function.invoked"}


def test_an_event_of_the_future_starts_its_run_when_its_time_has_come(app):
    ts = int(time.time() * 1000) + 1_500
    event_id = app.send("py-triggers/on-time", ts=ts)
    run_id = app.run_of(event_id)
    assert app.get(f"/v1/runs/{run_id}")["status"] == "Scheduled"
    output = app.end_of(run_id)["output"]
    assert output["ts"] == ts
    assert output["started"] >= ts


def test_an_event_of_the_past_starts_its_run_at_once(app):
    ts = int(datetime.datetime(2001, 2, 3, tzinfo=datetime.timezone.utc).timestamp() * 1000)
    assert app.run("py-triggers/on-time", ts=ts)["output"]["ts"] == ts


def ends_heard(function_id: str, run_id: str) -> list[inngest.Event]:
    return [event for event in heard[function_id] if event.data["run_id"] == run_id]


def test_listeners_hear_of_the_end_of_a_run_and_its_value(app):
    run = app.run("py-triggers/works", {"number": 1})
    [event] = app.until("the listener", lambda: ends_heard("hears-ends", run["run_id"]))
    assert event.name == "inngest/function.finished"
    assert event.id not in ("", run["run_id"])
    assert event.data["function_id"] == "py-triggers-works"
    assert event.data["result"] == {"answer": 42}
    assert event.data.get("error") is None
    assert event.data["_inngest"]["status"] == "Completed"
    assert event.data["event"]["name"] == "py-triggers/works"
    assert event.data["event"]["data"] == {"number": 1}
    assert [each["name"] for each in event.data["events"]] == ["py-triggers/works"]
    assert ends_heard("hears-failures", run["run_id"]) == []
    assert app.until("the listener with a condition", lambda: ends_heard("started-by-ends", run["run_id"]))


def test_listeners_hear_of_a_failure_its_error_and_its_run(app):
    run = app.run("py-triggers/fails", {"number": 1})
    [event] = app.until("the listener", lambda: ends_heard("hears-failures", run["run_id"]))
    assert event.name == "inngest/function.failed"
    assert event.id == run["run_id"]
    error = event.data["error"]
    assert (error["name"], error["message"]) == ("ValueError", "not today")
    assert "not today" in error["stack"]
    assert event.data["_inngest"]["status"] == "Failed"
    assert event.data["event"]["data"] == {"number": 1}
    [end] = app.until("the listener to all ends", lambda: ends_heard("hears-ends", run["run_id"]))
    assert end.data["error"]["message"] == "not today"
    assert ends_heard("started-by-ends", run["run_id"]) == []


def test_the_ends_of_listeners_are_not_announced(app):
    run = app.run("py-triggers/fails")
    app.until("both listeners", lambda: ends_heard("hears-ends", run["run_id"]) and ends_heard("hears-failures", run["run_id"]))
    app.run("py-triggers/works")
    app.run("py-triggers/works")
    told_of = {event.data["function_id"] for events in heard.values() for event in events}
    assert told_of.isdisjoint({"py-triggers-hears-ends", "py-triggers-hears-failures", "py-triggers-started-by-ends"})
