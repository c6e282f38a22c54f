"""What is too much: steps, results, states; and states that the SDK has to fetch."""

import datetime

import inngest
import pytest

from app import definer, start_app

MEBIBYTE = 1024 * 1024
failures_seen: dict[str, str] = {}


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-limits", functions)

    async def on_failure(ctx: inngest.Context):
        failures_seen[ctx.event.data["run_id"]] = ctx.event.data["error"]["name"]

    async def text_of(size: int) -> str:
        return "x" * size

    def fetches_its_state(mode):
        async def handler(ctx: inngest.Context):
            async def length(text):
                return len(text)

            texts = [await ctx.step.run(f"text {n}", text_of, 2 * MEBIBYTE) for n in range(3)]
            await ctx.step.sleep("nap", datetime.timedelta(seconds=1))
            steps = tuple((lambda n=n, text=text: ctx.step.run(f"length {n}", length, text)) for n, text in enumerate(texts))
            lengths = await ctx.group.parallel(steps, parallel_mode=mode)
            return {"lengths": lengths, "event": ctx.event.data["key"], "events": len(ctx.events)}

        return handler

    function("large-state")(fetches_its_state(inngest.ParallelMode.WAIT))
    function("large-state-race")(fetches_its_state(inngest.ParallelMode.RACE))

    @function("large-state-sync")
    def large_state_sync(ctx: inngest.ContextSync):
        texts = [ctx.step.run(f"text {n}", lambda: "y" * 2 * MEBIBYTE) for n in range(3)]
        ctx.step.sleep("nap", datetime.timedelta(seconds=1))
        return ctx.step.run("length", lambda: sum(len(text) for text in texts))

    @function("large-batch", batch_events=inngest.Batch(max_size=3, timeout=datetime.timedelta(minutes=1)))
    async def large_batch(ctx: inngest.Context):
        return [len(event.data["text"]) for event in ctx.events]

    @function("large-step", retries=0, on_failure=on_failure)
    async def large_step(ctx: inngest.Context):
        await ctx.step.run("large", text_of, 4 * MEBIBYTE)

    @function("large-output", retries=0, on_failure=on_failure)
    async def large_output(ctx: inngest.Context):
        return "x" * 9 * MEBIBYTE

    @function("endless-state", retries=0, on_failure=on_failure)
    async def endless_state(ctx: inngest.Context):
        for n in range(20):
            await ctx.step.run(f"text {n}", text_of, 4 * MEBIBYTE - 1024)

    @function("too-many-at-once", retries=0, on_failure=on_failure)
    async def too_many_at_once(ctx: inngest.Context):
        await ctx.group.parallel(tuple((lambda n=n: ctx.step.run(f"step {n}", text_of, 1)) for n in range(1_001)))

    @function("too-many", retries=0, on_failure=on_failure)
    async def too_many(ctx: inngest.Context):
        """Sleeps end by themselves: a thousand of them, and a step more."""
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
        for half in range(2):
            naps = tuple((lambda n=n: ctx.step.sleep_until(f"nap {half} {n}", past)) for n in range(500))
            await ctx.group.parallel(naps)
        await ctx.step.run("one more", text_of, 1)
        await ctx.step.run("and another", text_of, 1)

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-limits", define) as app:
        yield app


@pytest.mark.parametrize("fn_id", ["large-state", "large-state-race"])
def test_a_state_that_is_too_large_for_a_call_is_fetched_by_the_sdk(app, fn_id):
    run = app.run(f"py-limits/{fn_id}", {"key": "of the event"})
    assert run["status"] == "Completed"
    assert run["output"] == {"lengths": [2 * MEBIBYTE] * 3, "event": "of the event", "events": 1}


def test_an_ordinary_function_fetches_its_state_too(app):
    assert app.run("py-limits/large-state-sync")["output"] == 6 * MEBIBYTE


def test_a_batch_that_is_too_large_for_a_call_is_fetched_by_the_sdk(app):
    ids = [app.send("py-limits/large-batch", {"text": "z" * 2 * MEBIBYTE}) for _ in range(3)]
    assert app.end_of(app.run_of(ids[0]))["output"] == [2 * MEBIBYTE] * 3


@pytest.mark.parametrize(
    "fn_id, name, message",
    [
        ("large-step", None, "step output size is greater than the limit"),
        ("endless-state", "InngestErrStateOverflowed", f"The function run exceeded the state size limit of {32 * MEBIBYTE} bytes."),
        ("too-many-at-once", "InngestErrFunctionOverflowed", "The function run exceeded the step limit of 1000 steps."),
        ("too-many", "InngestErrFunctionOverflowed", "The function run exceeded the step limit of 1000 steps."),
    ],
)
def test_too_much_fails_the_run_and_says_of_what(app, fn_id, name, message):
    run = app.run(f"py-limits/{fn_id}")
    assert run["status"] == "Failed"
    assert message in run["output"]["message"]
    assert name in (None, run["output"]["name"])
    assert app.until("the failure handler", lambda: failures_seen.get(run["run_id"])) == run["output"]["name"]


def test_an_output_that_is_too_large_fails_the_run_and_says_so(app):
    run = app.run("py-limits/large-output")
    message = "Your function's response body exceeds the maximum size limit"
    assert run["status"] == "Failed"
    assert run["output"] == {"error": {"error": f"output_too_large: {message}", "name": "output_too_large", "message": message}}
    assert app.until("the failure handler", lambda: failures_seen.get(run["run_id"])) == "output_too_large"
