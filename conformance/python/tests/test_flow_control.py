import datetime
import time

import inngest
import pytest

from app import definer, start_app
from gate import Gate

limited = Gate()
by_account = {"a": Gate(), "b": Gate()}
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
