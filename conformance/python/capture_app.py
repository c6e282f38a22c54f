"""The functions whose traffic is recorded, in the official Python SDK. One function a wire shape."""

import datetime
import logging

import inngest

from serving import serve

client = inngest.Inngest(app_id="capture", logger=logging.getLogger("inngest"))
functions: list[inngest.Function] = []


def define(fn_id: str, **options):
    options.setdefault("trigger", inngest.TriggerEvent(event=f"capture/{fn_id}"))
    options.setdefault("retries", 1)

    def register(handler):
        function = client.create_function(fn_id=fn_id, **options)(handler)
        functions.append(function)
        return function

    return register


def fail_first(attempt: int, error: Exception) -> None:
    """Fails on the first attempt of a call, works on the second."""
    if attempt == 0:
        raise error


async def value(result):
    return result


@define("callee")
async def callee(ctx: inngest.Context):
    return {"doubled": ctx.event.data["number"] * 2}


@define("no-step")
async def no_step(ctx: inngest.Context):
    return {"greeting": f"hello {ctx.event.data['who']}"}


@define("returns-null")
async def returns_null(ctx: inngest.Context):
    return None


@define("step-run")
async def step_run(ctx: inngest.Context):
    return await ctx.step.run("only step", value, {"answer": 42, "text": "größe", "none": None})


@define("step-returns-nothing")
async def step_returns_nothing(ctx: inngest.Context):
    return await ctx.step.run("nothing", value, None)


@define("several-steps")
async def several_steps(ctx: inngest.Context):
    first = await ctx.step.run("first", value, 1)
    second = await ctx.step.run("second", value, first + 1)
    return {"first": first, "second": second, "third": await ctx.step.run("third", value, second + 1)}


@define("repeated-step-id")
async def repeated_step_id(ctx: inngest.Context):
    return [await ctx.step.run("again", value, index) for index in range(3)]


@define("parallel")
async def parallel(ctx: inngest.Context):
    left, right = await ctx.group.parallel(
        (lambda: ctx.step.run("left", value, "l"), lambda: ctx.step.run("right", value, "r"))
    )
    return await ctx.step.run("join", value, left + right)


@define("parallel-race")
async def parallel_race(ctx: inngest.Context):
    return await ctx.group.parallel(
        (lambda: ctx.step.run("left", value, "l"), lambda: ctx.step.run("right", value, "r")),
        parallel_mode=inngest.ParallelMode.RACE,
    )


@define("parallel-mixed")
async def parallel_mixed(ctx: inngest.Context):
    ran, _, _ = await ctx.group.parallel(
        (
            lambda: ctx.step.run("work", value, 1),
            lambda: ctx.step.sleep("nap", datetime.timedelta(hours=1)),
            lambda: ctx.step.send_event("tell", inngest.Event(name="capture/told", data={})),
        )
    )
    return ran


@define("sleep")
async def sleep(ctx: inngest.Context):
    await ctx.step.run("before", value, 1)
    await ctx.step.sleep("nap", datetime.timedelta(minutes=90))
    return await ctx.step.run("after", value, 2)


@define("sleep-until")
async def sleep_until(ctx: inngest.Context):
    await ctx.step.sleep_until("until then", datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc))


@define("send-event")
async def send_event(ctx: inngest.Context):
    return await ctx.step.send_event(
        "tell",
        [
            inngest.Event(name="capture/told", data={"number": 1}),
            inngest.Event(name="capture/told", id="told-2", data={"number": 2}, ts=1767225600000),
        ],
    )


@define("wait-for-event")
async def wait_for_event(ctx: inngest.Context):
    answer = await ctx.step.wait_for_event(
        "the answer", event="capture/answer", timeout=datetime.timedelta(hours=1), if_exp="event.data.id == async.data.id"
    )
    return answer.data if answer else None


@define("wait-for-event-timeout")
async def wait_for_event_timeout(ctx: inngest.Context):
    return await ctx.step.wait_for_event("the answer", event="capture/never", timeout=datetime.timedelta(minutes=1))


@define("invoke")
async def invoke(ctx: inngest.Context):
    return await ctx.step.invoke("call", function=callee, data={"number": 21}, timeout=datetime.timedelta(minutes=5))


@define("invoke-fails")
async def invoke_fails(ctx: inngest.Context):
    try:
        await ctx.step.invoke_by_id("call", function_id="error-non-retriable", data={})
    except inngest.StepError as error:
        return {"name": error.name, "message": error.message}


@define("error")
async def error(ctx: inngest.Context):
    fail_first(ctx.attempt, TypeError("the first attempt fails"))
    return "second attempt"


@define("error-final")
async def error_final(ctx: inngest.Context):
    raise ValueError("always") from IndexError("because")


@define("error-non-retriable")
async def error_non_retriable(ctx: inngest.Context):
    raise inngest.NonRetriableError("never again")


@define("error-retry-after")
async def error_retry_after(ctx: inngest.Context):
    fail_first(ctx.attempt, inngest.RetryAfterError("later", datetime.timedelta(seconds=30)))
    return "later it was"


@define("step-error")
async def step_error(ctx: inngest.Context):
    async def flaky():
        fail_first(ctx.attempt, TypeError("the first attempt fails"))
        return "second attempt"

    return await ctx.step.run("flaky", flaky)


async def broken():
    raise ValueError("always")


async def broken_for_good():
    raise inngest.NonRetriableError("never again")


@define("step-error-uncaught")
async def step_error_uncaught(ctx: inngest.Context):
    return await ctx.step.run("broken", broken)


@define("step-error-caught")
async def step_error_caught(ctx: inngest.Context):
    try:
        await ctx.step.run("broken", broken)
    except inngest.StepError as failure:
        return await ctx.step.run("rescue", value, {"name": failure.name, "message": failure.message})


@define("step-error-non-retriable")
async def step_error_non_retriable(ctx: inngest.Context):
    try:
        await ctx.step.run("broken", broken_for_good)
    except inngest.StepError as failure:
        return f"caught: {failure.message}"


@define("step-error-retry-after")
async def step_error_retry_after(ctx: inngest.Context):
    async def slow():
        fail_first(ctx.attempt, inngest.RetryAfterError("later", 30_000))
        return "later it was"

    return await ctx.step.run("slow", slow)


async def handle_failure(ctx: inngest.Context):
    return {"handled": ctx.event.data["error"]["message"], "run": ctx.event.data["run_id"]}


@define("on-failure", on_failure=handle_failure)
async def on_failure(ctx: inngest.Context):
    raise inngest.NonRetriableError("seen by the failure handler")


@define(
    "flow-control",
    name="Every flow control option",
    trigger=[
        inngest.TriggerEvent(event="capture/flow-control", expression="event.data.size > 1"),
        inngest.TriggerCron(cron="TZ=Europe/Paris 0 5 * * 1-5"),
    ],
    retries=7,
    concurrency=[
        inngest.Concurrency(limit=2, key="event.data.account"),
        inngest.Concurrency(limit=10, scope="account", key="'shared'"),
    ],
    throttle=inngest.Throttle(limit=3, period=datetime.timedelta(seconds=10), burst=2, key="event.data.account"),
    rate_limit=inngest.RateLimit(limit=5, period=datetime.timedelta(hours=1), key="event.data.account"),
    debounce=inngest.Debounce(period=datetime.timedelta(seconds=5), key="event.data.account", timeout=datetime.timedelta(minutes=1)),
    priority=inngest.Priority(run="event.data.plan == 'pro' ? 120 : 0"),
    singleton=inngest.Singleton(key="event.data.account", mode="skip"),
    cancel=[inngest.Cancel(event="capture/cancel", if_exp="event.data.id == async.data.id", timeout=datetime.timedelta(hours=1))],
    timeouts=inngest.Timeouts(start=datetime.timedelta(seconds=10), finish=datetime.timedelta(minutes=5)),
    idempotency="event.data.order",
)
async def flow_control(ctx: inngest.Context):
    return "done"


@define("batch", batch_events=inngest.Batch(max_size=10, timeout=datetime.timedelta(seconds=5), key="event.data.account"))
async def batch(ctx: inngest.Context):
    return len(ctx.events)


def send_one():
    return client.send_sync(inngest.Event(name="capture/unheard", data={"number": 1}))


def send_batch():
    return client.send_sync(
        [inngest.Event(name="capture/unheard", data={"number": 1}), inngest.Event(name="capture/unheard", id="second", data={})]
    )


if __name__ == "__main__":
    serve(client, functions, {"send-one": send_one, "send-batch": send_batch})
