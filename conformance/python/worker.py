"""A worker on the official SDK's `connect`, in a process of its own so that a test can kill it.

Its argument says who it is. It writes what happens as lines of JSON, and lets an execution that it holds go on when a
line with its key comes in.
"""

import asyncio
import datetime
import json
import logging
import sys
import threading

import inngest
from inngest.connect import ConnectionState, connect

about = json.loads(sys.argv[1])
instance_id = about["instance_id"]
held: dict[str, asyncio.Event] = {}


def say(**line) -> None:
    print(json.dumps(line), flush=True)


def follow_standard_input(loop: asyncio.AbstractEventLoop) -> None:
    for line in sys.stdin:
        if go_on := held.get(line.strip()):
            loop.call_soon_threadsafe(go_on.set)


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []

    def on(fn_id: str, **options):
        trigger = inngest.TriggerEvent(event=f"{client.app_id}/{fn_id}")
        options.setdefault("retries", 1)

        def register(handler):
            functions.append(client.create_function(fn_id=fn_id, trigger=trigger, **options)(handler))
            return handler

        return register

    @on("steps")
    async def steps(ctx: inngest.Context):
        async def value(result):
            return result

        first = await ctx.step.run("first", value, f"{ctx.event.data['text']}!")
        await ctx.step.sleep("nap", datetime.timedelta(seconds=1))
        both = await ctx.group.parallel((lambda: ctx.step.run("left", value, "left"), lambda: ctx.step.run("right", value, "right")))
        return {"first": first, "both": list(both), "by": instance_id}

    @on("fails-once")
    async def fails_once(ctx: inngest.Context):
        if ctx.attempt == 0:
            raise ValueError("once")
        return ctx.attempt

    @on("never-again", retries=3)
    async def never_again(ctx: inngest.Context):
        raise inngest.NonRetriableError("for good")

    @on("held")
    async def hold(ctx: inngest.Context):
        key = ctx.event.data["key"]
        held[key] = asyncio.Event()
        say(entered=key, attempt=ctx.attempt)
        await held[key].wait()
        return {"by": instance_id, "attempt": ctx.attempt}

    return functions


def app_of(app_id: str) -> tuple[inngest.Inngest, list[inngest.Function]]:
    logger = logging.getLogger("inngest.silent")
    logger.disabled = True
    key = about["signing_key"]
    client = inngest.Inngest(
        app_id=app_id,
        api_base_url=about["url"],
        event_api_base_url=about["url"],
        event_key="test",
        is_production=key is not None,
        signing_key=key,
        logger=logger,
    )
    return client, define(client)


async def main() -> None:
    threading.Thread(target=follow_standard_input, args=[asyncio.get_running_loop()], daemon=True).start()
    connection = connect(
        [app_of(app_id) for app_id in about["apps"]],
        instance_id=instance_id,
        max_worker_concurrency=about["max_worker_concurrency"],
    )

    async def tell() -> None:
        await connection.wait_for_state(ConnectionState.ACTIVE)
        say(connected=connection.get_connection_id())

    telling = asyncio.create_task(tell())
    try:
        await connection.start()
    finally:
        telling.cancel()
        say(closed=True)


asyncio.run(main())
