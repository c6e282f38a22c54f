import collections
import datetime
import time
import uuid

import inngest
import pytest

from app import definer, start_app
from gate import Gate

limited = Gate()
by_account = {"a": Gate(), "b": Gate()}
shared = Gate()
two_limits = collections.defaultdict(Gate)
in_order = Gate()
order: list[str] = []
starts: list[tuple[str, float]] = []


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-flow", functions)

    @function("free")
    async def free(ctx: inngest.Context):
        return "free"

    @function("limited", concurrency=[inngest.Concurrency(limit=2)])
    async def limited_function(ctx: inngest.Context):
        await ctx.step.run("inside", limited.enter)

    @function("by-account", concurrency=[inngest.Concurrency(limit=1, key="event.data.account")])
    async def by_account_function(ctx: inngest.Context):
        await ctx.step.run("inside", by_account[ctx.event.data["account"]].enter)

    # The SDK's own default for `burst` is 1, which lets two start together.
    @function("throttled", throttle=inngest.Throttle(limit=1, period=datetime.timedelta(seconds=2), key="event.data.key", burst=0))
    async def throttled(ctx: inngest.Context):
        starts.append((ctx.event.data["key"], time.monotonic()))

    # As the SDK has it if nothing is said: one more than the limit may start together.
    @function("throttled-with-burst", throttle=inngest.Throttle(limit=1, period=datetime.timedelta(hours=1), key="event.data.key"))
    async def throttled_with_burst(ctx: inngest.Context):
        return ctx.event.data["number"]

    def of_a_tenant(fn_id, scope):
        limit = inngest.Concurrency(limit=1, scope=scope, key=f"'py-flow-{scope}-' + event.data.tenant")

        @function(fn_id, concurrency=[limit])
        async def handler(ctx: inngest.Context):
            await ctx.step.run("inside", shared.enter)

    for scope in ("env", "account"):
        of_a_tenant(f"{scope}-left", scope)
        of_a_tenant(f"{scope}-right", scope)

    @function(
        "two-limits", concurrency=[inngest.Concurrency(limit=3), inngest.Concurrency(limit=2, key="event.data.account")]
    )
    async def two_limits_function(ctx: inngest.Context):
        await ctx.step.run("inside", two_limits[ctx.event.data["account"]].enter)

    @function("sleeps-within-limit", concurrency=[inngest.Concurrency(limit=1)])
    async def sleeps_within_limit(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-flow/go", timeout=datetime.timedelta(minutes=1))
        await ctx.step.sleep("sleep", datetime.timedelta(seconds=1))

    @function("fails-within-limit", retries=0, concurrency=[inngest.Concurrency(limit=1)])
    async def fails_within_limit(ctx: inngest.Context):
        raise ValueError("fails")

    @function("prioritised", concurrency=[inngest.Concurrency(limit=1)], priority=inngest.Priority(run="event.data.urgency"))
    async def prioritised(ctx: inngest.Context):
        async def body():
            order.append(ctx.event.data["name"])
            await in_order.enter()

        await ctx.step.run("inside", body)

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-flow", define) as app:
        yield app


def send_many(app, name, all_data):
    return app.client.send_sync([inngest.Event(name=name, data=data) for data in all_data])


def drain(app, gate: Gate, count: int, limit: int) -> None:
    for left in range(count, 0, -1):
        expected = min(limit, left)
        app.until(f"{expected} executions inside, {left} left", lambda: gate.inside, lambda inside: inside >= expected)
        # Something newer has gone all the way through the server: what was going to start has started.
        app.run("py-flow/free")
        already_left = gate.left
        gate.release_one()
        app.until("one to leave", lambda: gate.left, lambda seen: seen > already_left)


def test_no_more_executions_at_once_than_the_limit_and_nothing_is_lost(app):
    ids = send_many(app, "py-flow/limited", [{}] * 6)
    drain(app, limited, 6, 2)
    assert [app.ended(event_id)[0]["status"] for event_id in ids] == ["Completed"] * 6
    assert limited.most == 2


def test_each_value_of_the_key_has_a_limit_of_its_own(app):
    ids = send_many(app, "py-flow/by-account", [{"account": account} for account in "aaabb"])
    app.until("one execution of each account", lambda: (by_account["a"].inside, by_account["b"].inside), lambda seen: seen == (1, 1))
    drain(app, by_account["a"], 3, 1)
    drain(app, by_account["b"], 2, 1)
    for event_id in ids:
        app.ended(event_id)
    assert (by_account["a"].most, by_account["b"].most) == (1, 1)


def test_a_throttle_spaces_the_starts_of_each_key_and_drops_none(app):
    ids = send_many(app, "py-flow/throttled", [{"key": key} for key in ("k", "k", "k", "other")])
    assert [app.ended(event_id)[0]["status"] for event_id in ids] == ["Completed"] * 4
    own = [at for key, at in starts if key == "k"]
    [other] = [at for key, at in starts if key == "other"]
    assert len(own) == 3
    assert all(later - earlier >= 1.0 for earlier, later in zip(own, own[1:])), f"starts of one key: {own}; the period is 2 s"
    assert other < own[2], "another key does not wait for this one"


def test_a_throttles_burst_starts_together_and_what_is_over_waits_and_says_until_when(app):
    key = str(uuid.uuid4())
    ids = send_many(app, "py-flow/throttled-with-burst", [{"key": key, "number": number} for number in range(3)])
    assert [app.ended(event_id)[0]["output"] for event_id in ids[:2]] == [0, 1]
    app.run("py-flow/free")
    assert app.get(f"/v1/runs/{app.run_of(ids[2])}")["status"] == "Scheduled"
    verdict = app.verdict(ids[2], "throttled-with-burst")
    assert verdict["verdict"] == "started"
    assert verdict["waits"]["throttled_until"]


@pytest.mark.parametrize("scope", ["env", "account"])
def test_functions_share_a_limit_of_the_environment_or_the_account(app, scope):
    names = [f"py-flow/{scope}-left", f"py-flow/{scope}-right"] * 2
    shared.most = 0
    ids = app.client.send_sync([inngest.Event(name=name, data={"tenant": "a"}) for name in names])
    drain(app, shared, 4, 1)
    assert [app.ended(event_id)[0]["status"] for event_id in ids] == ["Completed"] * 4
    assert shared.most == 1


def test_another_value_of_a_shared_limit_has_room_of_its_own(app):
    ids = app.client.send_sync([inngest.Event(name="py-flow/env-left", data={"tenant": tenant}) for tenant in "ab"])
    app.until("both to be inside", lambda: shared.inside, lambda inside: inside == 2)
    for _ in ids:
        shared.release_one()
    assert [app.ended(event_id)[0]["status"] for event_id in ids] == ["Completed"] * 2


def test_both_of_two_limits_hold(app):
    ids = send_many(app, "py-flow/two-limits", [{"account": account} for account in "aaabbb"])
    inside = lambda: sorted((two_limits["a"].inside, two_limits["b"].inside))  # noqa: E731
    app.until("three to be inside", inside, lambda seen: sum(seen) == 3)
    app.run("py-flow/free")
    assert inside() == [1, 2]
    for _ in ids:
        busy = app.until("one to be inside", lambda: [gate for gate in two_limits.values() if gate.inside])
        left = busy[0].left
        busy[0].release_one()
        app.until("one to leave", lambda: busy[0].left, lambda seen: seen > left)
    assert [app.ended(event_id)[0]["status"] for event_id in ids] == ["Completed"] * 6
    assert max(gate.most for gate in two_limits.values()) == 2


def test_runs_that_wait_or_sleep_take_no_place_and_failed_ones_give_theirs_back(app):
    runs = [app.parked_at("py-flow/sleeps-within-limit") for _ in range(3)]
    app.send("py-flow/go")
    assert [app.end_of(run_id)["status"] for run_id in runs] == ["Completed"] * 3
    assert [app.run("py-flow/fails-within-limit")["status"] for _ in range(3)] == ["Failed"] * 3


def test_runs_that_are_urgent_go_first_and_a_priority_that_is_no_number_is_none(app):
    app.start("py-flow/prioritised", {"name": "in the way"})
    app.until("the first run to be inside", lambda: in_order.inside == 1)
    urgencies = {"usual": 0, "late": -600, "not a number": "x", "missing": None, "urgent": 600, "more urgent": 601}
    ids = send_many(app, "py-flow/prioritised", [{"name": name, "urgency": urgency} for name, urgency in urgencies.items()])
    for _ in range(1 + len(ids)):
        app.until("one to be inside", lambda: in_order.inside == 1)
        left = in_order.left
        in_order.release_one()
        app.until("one to leave", lambda: in_order.left, lambda seen: seen > left)
    for event_id in ids:
        app.ended(event_id)
    assert order == ["in the way", "more urgent", "urgent", "usual", "not a number", "missing", "late"]
