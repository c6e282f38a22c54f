"""What functions publish reaches whoever follows their channels."""

import contextlib
import json
import typing

import httpx
import inngest
import pytest
from inngest.experimental import realtime

from app import definer, start_app

PATIENCE_S = 30.0


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-realtime", functions)

    @function("publish")
    async def publish(ctx: inngest.Context):
        async def say():
            await realtime.publish(client, f"order:{ctx.event.data['key']}", "progress", {"größe": [1, None]})
            return "said"

        return await ctx.step.run("say", say)

    @function("publish-sync")
    def publish_sync(ctx: inngest.ContextSync):
        realtime.publish_sync(client, f"order:{ctx.event.data['key']}", "progress", {"percent": 50})

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-realtime", define) as app:
        yield app


@contextlib.contextmanager
def following(app, channel: str, topics: list[str]) -> typing.Iterator[typing.Iterator[dict]]:
    """The messages of a channel's topics from now on, with a token of the SDK's."""
    token = realtime.get_subscription_token_sync(app.client, channel, topics)
    assert token["channel"] == channel and token["topics"] == topics
    url = f"{app.server.url}/v1/realtime/sse"
    with httpx.stream("GET", url, params={"token": token["key"]}, timeout=PATIENCE_S) as response:
        assert response.status_code == 200
        lines = response.iter_lines()
        # The first line says that the subscription has begun.
        assert next(lines) == ":"
        yield (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


@pytest.mark.parametrize(("function", "data"), [("publish", {"größe": [1, None]}), ("publish-sync", {"percent": 50})])
def test_a_message_reaches_who_follows_its_channel(app, function, data):
    with following(app, f"order:{function}", ["progress"]) as messages:
        run = app.run(f"py-realtime/{function}", {"key": function})
        assert run["status"] == "Completed", run
        message = next(messages)
    assert (message["kind"], message["channel"], message["topic"]) == ("data", f"order:{function}", "progress")
    assert message["data"] == data


def test_topics_and_channels_do_not_hear_one_another(app):
    with following(app, "order:mine", ["progress"]) as messages:
        realtime.publish_sync(app.client, "order:other", "progress", {"n": 1})
        realtime.publish_sync(app.client, "order:mine", "notes", {"n": 2})
        realtime.publish_sync(app.client, "order:mine", "progress", {"n": 3})
        assert next(messages)["data"] == {"n": 3}


def test_nobody_follows_without_a_token(app):
    assert app.ask("GET", "/v1/realtime/sse?token=none").status_code == 401
