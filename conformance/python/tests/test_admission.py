"""What keeps an event from starting a run: debounce, rate limits, idempotency, singletons. And who says so."""

import datetime
import uuid

import inngest
import pytest

from app import definer, start_app

HOUR = datetime.timedelta(hours=1)
MINUTE = datetime.timedelta(minutes=1)
SECOND = datetime.timedelta(seconds=1)


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-admission", functions)

    def answers_its_number(fn_id, **options):
        @function(fn_id, **options)
        async def handler(ctx: inngest.Context):
            return ctx.event.data["number"]

    def waits_for_go(fn_id, **options):
        @function(fn_id, **options)
        async def handler(ctx: inngest.Context):
            await ctx.step.wait_for_event("go", event="py-admission/go", if_exp="event.data.key == async.data.key", timeout=MINUTE)
            return ctx.event.data["number"]

    answers_its_number("free")
    answers_its_number("debounced", debounce=inngest.Debounce(period=SECOND, key="event.data.key"))
    answers_its_number("debounced-not-for-ever", debounce=inngest.Debounce(period=HOUR, timeout=SECOND))
    answers_its_number("limited", rate_limit=inngest.RateLimit(limit=1, period=HOUR, key="event.data.key"))
    answers_its_number("ten-an-hour", rate_limit=inngest.RateLimit(limit=10, period=HOUR, key="event.data.key"))
    answers_its_number("one-a-second", rate_limit=inngest.RateLimit(limit=1, period=SECOND))
    answers_its_number("once-an-order", idempotency="event.data.order.id")
    waits_for_go("single", singleton=inngest.Singleton(mode="skip", key="event.data.key"))
    waits_for_go("latest", singleton=inngest.Singleton(mode="cancel", key="event.data.key"))
    waits_for_go("perhaps-single", singleton=inngest.Singleton(mode="skip", key="event.data.single && event.data.key"))

    @function("single-that-fails", retries=0, singleton=inngest.Singleton(mode="skip"))
    async def single_that_fails(ctx: inngest.Context):
        raise ValueError("fails")

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-admission", define) as app:
        yield app


def fresh() -> str:
    return str(uuid.uuid4())


def send_numbers(app, name, all_data) -> list[str]:
    """Sends numbered events in one request, so that they come together and in order."""
    return app.client.send_sync([inngest.Event(name=name, data={"number": number, **data}) for number, data in enumerate(all_data, 1)])


def assert_starts_nothing(app, event_id: str) -> None:
    # Something newer has gone all the way through the server.
    app.run("py-admission/free", {"number": 0})
    assert app.get(f"/v1/events/{event_id}/runs") == []


def test_of_events_that_come_together_the_last_one_runs(app):
    key, other = fresh(), fresh()
    first, second, elsewhere, last = send_numbers(app, "py-admission/debounced", [{"key": key}, {"key": key}, {"key": other}, {"key": key}])
    assert app.verdict(last, "debounced")["verdict"] in ("debounced", "started")
    assert [app.ended(event_id)[0]["output"] for event_id in (last, elsewhere)] == [4, 3]
    assert_starts_nothing(app, first)
    assert_starts_nothing(app, second)
    assert app.verdict(first, "debounced")["verdict"] == "superseded"
    assert app.verdict(last, "debounced")["verdict"] == "started"


def test_of_events_that_come_together_the_one_with_the_latest_time_runs(app):
    data = {"key": fresh(), "number": 0}
    later, earlier = app.client.send_sync(
        [inngest.Event(name="py-admission/debounced", data=data, ts=ts) for ts in (1767225601000, 1767225600000)]
    )
    assert app.ended(later)[0]["status"] == "Completed"
    assert_starts_nothing(app, earlier)
    verdict = app.verdict(earlier, "debounced")
    assert (verdict["verdict"], verdict["byItsTime"]) == ("superseded", True)


def test_a_debounce_waits_no_longer_than_its_timeout(app):
    event_id = app.send("py-admission/debounced-not-for-ever", {"number": 1})
    assert app.ended(event_id)[0]["output"] == 1


def test_events_over_a_rate_limit_start_nothing_and_say_by_which_key(app):
    key = fresh()
    first, second, other = send_numbers(app, "py-admission/limited", [{"key": key}, {"key": key}, {"key": fresh()}])
    assert [app.ended(event_id)[0]["output"] for event_id in (first, other)] == [1, 3]
    assert_starts_nothing(app, second)
    verdict = app.verdict(second, "limited")
    assert (verdict["verdict"], verdict["key"]) == ("rate-limited", key)
    assert app.get(f"/v1/events/{second}")["data"]["number"] == 2, "the event itself is kept"


def test_a_rate_limits_key_that_is_false_exempts_the_event(app):
    ids = send_numbers(app, "py-admission/limited", [{"key": False}] * 3)
    assert [app.ended(event_id)[0]["output"] for event_id in ids] == [1, 2, 3]


def test_a_rate_limit_spreads_its_number_over_its_period(app):
    key = fresh()
    ids = send_numbers(app, "py-admission/ten-an-hour", [{"key": key}] * 5)
    # A tenth of the limit may come early.
    assert [app.ended(event_id)[0]["output"] for event_id in ids[:2]] == [1, 2]
    for event_id in ids[2:]:
        assert_starts_nothing(app, event_id)


def test_a_rate_limit_lets_events_in_again_after_its_period(app):
    app.run("py-admission/one-a-second", {"number": 1})
    app.until(
        "an event to be let in",
        lambda: app.send("py-admission/one-a-second", {"number": 2}),
        lambda event_id: app.verdict(event_id, "one-a-second")["verdict"] == "started",
    )


def test_idempotency_is_one_run_for_each_value(app):
    order, other = fresh(), fresh()
    first, second, third = send_numbers(app, "py-admission/once-an-order", [{"order": {"id": id}} for id in (order, order, other)])
    assert [app.ended(event_id)[0]["output"] for event_id in (first, third)] == [1, 3]
    assert_starts_nothing(app, second)
    again = app.send("py-admission/once-an-order", {"number": 4, "order": {"id": order}})
    assert_starts_nothing(app, again)


def test_a_duplicate_says_of_which_run(app):
    run = app.run("py-admission/free", {"number": 1}, id=(event_id := fresh()))
    duplicate = app.send("py-admission/free", {"number": 2}, id=event_id)
    assert_starts_nothing(app, duplicate)
    verdict = app.verdict(duplicate, "free")
    assert (verdict["verdict"], verdict["run"]) == ("duplicate", run["run_id"])


def test_a_singleton_that_skips_leaves_the_running_one_alone(app):
    data = {"key": fresh(), "number": 1}
    running = app.parked_at("py-admission/single", data)
    event_id = app.send("py-admission/single", {**data, "number": 2})
    [skipped] = app.ended(event_id)
    assert skipped["status"] == "Skipped"
    verdict = app.verdict(event_id, "single")
    assert verdict["verdict"] == "skipped"
    assert running in str(verdict["cause"]), "the one that runs is named"
    other = app.parked_at("py-admission/single", {"key": fresh(), "number": 3})
    app.ask("DELETE", f"/v1/runs/{other}")
    app.send("py-admission/go", data)
    assert app.end_of(running)["output"] == 1
    third = app.parked_at("py-admission/single", {**data, "number": 3})
    app.send("py-admission/go", data)
    assert app.end_of(third)["output"] == 3


def test_a_singleton_that_cancels_takes_the_place_of_the_running_one(app):
    data = {"key": fresh(), "number": 1}
    first = app.parked_at("py-admission/latest", data)
    other = app.parked_at("py-admission/latest", {"key": fresh(), "number": 9})
    second = app.parked_at("py-admission/latest", {**data, "number": 2})
    assert app.end_of(first)["status"] == "Cancelled"
    app.send("py-admission/go", data)
    assert app.end_of(second)["output"] == 2
    assert app.get(f"/v1/runs/{other}")["status"] == "Running"
    app.ask("DELETE", f"/v1/runs/{other}")


def test_a_singletons_key_that_is_false_lets_runs_be_side_by_side(app):
    data = {"key": fresh(), "single": False}
    runs = [app.parked_at("py-admission/perhaps-single", {**data, "number": number}) for number in (1, 2)]
    app.send("py-admission/go", data)
    assert [app.end_of(run_id)["output"] for run_id in runs] == [1, 2]
    data["single"] = True
    running = app.parked_at("py-admission/perhaps-single", {**data, "number": 3})
    assert app.run("py-admission/perhaps-single", {**data, "number": 4})["status"] == "Skipped"
    app.send("py-admission/go", data)
    assert app.end_of(running)["output"] == 3


def test_a_singletons_place_is_free_after_a_failure_and_after_a_cancellation(app):
    assert [app.run("py-admission/single-that-fails")["status"] for _ in range(2)] == ["Failed"] * 2
    data = {"key": fresh(), "number": 1}
    run_id = app.parked_at("py-admission/single", data)
    app.ask("DELETE", f"/v1/runs/{run_id}")
    assert app.end_of(run_id)["status"] == "Cancelled"
    second = app.parked_at("py-admission/single", data)
    app.send("py-admission/go", data)
    assert app.end_of(second)["output"] == 1
