import asyncio
import collections
import re
import uuid

import inngest
import pytest

from app import definer, start_app

ULID = re.compile(r"^[0-9A-HJKMNP-TV-Z]{26}$")
received: collections.Counter[str] = collections.Counter()


def fresh(text: str) -> str:
    """An id of this execution, so that a server which keeps its state meets it for the first time."""
    return f"{text}-{uuid.uuid4()}"


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-events", functions)

    @function("first", trigger=inngest.TriggerEvent(event="py-events/both"))
    async def first(ctx: inngest.Context):
        return "first"

    @function("second", trigger=inngest.TriggerEvent(event="py-events/both"))
    async def second(ctx: inngest.Context):
        return "second"

    @function("count")
    async def count(ctx: inngest.Context):
        received[ctx.event.data["key"]] += 1
        return ctx.event.data["key"]

    @function("tells", retries=0)
    async def tells(ctx: inngest.Context):
        events = [inngest.Event(name=name, data={"key": ctx.event.data["key"]}) for name in ctx.event.data["names"]]
        try:
            return await ctx.step.send_event("tell", events)
        except inngest.StepError as error:
            return {"name": error.name, "message": error.message}

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-events", define) as app:
        yield app


def test_two_functions_on_one_event_each_have_their_run(app):
    runs = app.ended(app.send("py-events/both"), count=2)
    assert sorted(run["output"] for run in runs) == ["first", "second"]


def test_send_answers_with_one_id_for_each_event_in_order(app):
    keys = [fresh(f"batch-{index}") for index in range(25)]
    ids = app.client.send_sync([inngest.Event(name="py-events/count", data={"key": key}) for key in keys])
    assert len(set(ids)) == len(keys)
    assert all(ULID.match(event_id) for event_id in ids)
    assert [app.ended(event_id)[0]["output"] for event_id in ids] == keys


def test_the_same_event_id_starts_one_run_a_function(app):
    key = fresh("dedupe")
    ids = [app.send("py-events/count", {"key": key}, id=key) for _ in range(2)]
    app.ended(ids[0])
    app.run("py-events/count", {"key": fresh("fence")})
    assert len(set(ids)) == 2, "both events are recorded"
    assert received[key] == 1
    assert app.get(f"/v1/events/{ids[1]}/runs") == []


def test_a_refused_event_raises_with_the_servers_reason(app):
    with pytest.raises(Exception, match="reserved"):
        app.send("inngest/mine")


def test_an_asynchronous_client_sends_and_is_refused_alike(app):
    async def send() -> list[str]:
        ids = await app.client.send(inngest.Event(name="py-events/count", data={"key": "asynchronous"}))
        with pytest.raises(Exception, match="reserved"):
            await app.client.send(inngest.Event(name="inngest/mine"))
        return ids

    [event_id] = asyncio.run(send())
    assert app.ended(event_id)[0]["output"] == "asynchronous"


def test_of_several_events_those_before_a_refused_one_are_taken(app):
    keys = [fresh("before"), fresh("refused"), fresh("after")]
    names = ["py-events/count", "inngest/mine", "py-events/count"]
    events = [inngest.Event(name=name, data={"key": key}) for name, key in zip(names, keys)]
    with pytest.raises(Exception, match="reserved") as refused:
        app.client.send_sync(events)
    [taken] = app.ended(refused.value.ids[0])
    assert taken["output"] == keys[0]
    assert [received[key] for key in keys] == [1, 0, 0]


def test_a_step_that_sends_what_is_refused_fails_with_the_servers_reason(app):
    output = app.run("py-events/tells", {"names": ["inngest/mine"], "key": "none"})["output"]
    assert output["name"] == "SendEventsError"
    assert "reserved" in output["message"]


def test_events_of_a_step_know_their_ids(app):
    key = fresh("told")
    ids = app.run("py-events/tells", {"names": ["py-events/count", "py-events/count"], "key": key})["output"]
    assert [app.ended(event_id)[0]["output"] for event_id in ids] == [key, key]
    assert received[key] == 2
