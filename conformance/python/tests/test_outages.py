"""What stands between the server and the app: proxies that fail, answers that are none, streams."""

import collections
import datetime

import fastapi
import inngest
import pytest

from app import definer, join_app, start_app

PAGE = "<html><body>upstream is gone</body></html>"
executions: collections.Counter[str] = collections.Counter()


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, client.app_id, functions)

    @function("steps", retries=1)
    async def steps(ctx: inngest.Context):
        async def body(number):
            executions[ctx.run_id] += 1
            return number

        first = await ctx.step.run("first", body, 1)
        await ctx.step.sleep("nap", datetime.timedelta(seconds=1))
        second, third = await ctx.group.parallel((lambda: ctx.step.run("second", body, 2), lambda: ctx.step.run("third", body, 3)))
        return [first, second, third, "größe ✓"]

    @function("quick", retries=1)
    async def quick(ctx: inngest.Context):
        return "quick"

    @function("fails", retries=1)
    async def fails(ctx: inngest.Context):
        executions[ctx.run_id] += 1
        raise ValueError(f"attempt {ctx.attempt}")

    @function("fails-for-good", retries=3)
    async def fails_for_good(ctx: inngest.Context):
        executions[ctx.run_id] += 1
        raise inngest.NonRetriableError("for good")

    @function("step-fails", retries=1)
    async def step_fails(ctx: inngest.Context):
        async def body():
            executions[ctx.run_id] += 1
            raise ValueError("a step fails")

        try:
            await ctx.step.run("fails", body)
        except inngest.StepError as error:
            return error.message

    @function("comes-back", retries=1)
    async def comes_back(ctx: inngest.Context):
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("come back", 1_000)
        return "came back"

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-outages", define) as app:
        yield app


@pytest.fixture(scope="module")
def streaming(app):
    with join_app(app.server, "py-streaming", define, streaming=inngest.Streaming.FORCE) as app:
        yield app


@pytest.fixture
def in_the_way(app):
    """Sets what answers the app's next calls in its place."""

    def answer_with(response: fastapi.Response, times: int) -> None:
        answers = [response] * times

        def answer(call):
            return answers.pop() if call.method == "POST" and answers else None

        app.in_the_way = answer

    yield answer_with
    app.in_the_way = None


UPSTREAM = fastapi.Response(PAGE, status_code=504, media_type="text/html")


def test_a_call_that_a_proxy_answered_is_made_again(app, in_the_way):
    in_the_way(UPSTREAM, times=1)
    run = app.run("py-outages/steps")
    assert run["status"] == "Completed"
    assert run["output"] == [1, 2, 3, "größe ✓"]
    assert executions[run["run_id"]] == 3


def test_a_run_whose_calls_a_proxy_answers_fails_with_what_it_said(app, in_the_way):
    in_the_way(UPSTREAM, times=2)
    run = app.run("py-outages/quick")
    assert run["status"] == "Failed"
    assert run["output"]["name"] == "Server returned a fatal error"
    assert "HTTP 504" in run["output"]["message"]
    assert "upstream is gone" in run["output"]["stack"]


def test_an_answer_that_is_not_an_sdks_fails_the_run_with_its_body(app, in_the_way):
    in_the_way(fastapi.Response("welcome", media_type="text/plain"), times=2)
    run = app.run("py-outages/quick")
    assert run["status"] == "Failed"
    assert "welcome" in str(run["output"])


def test_steps_that_are_not_json_are_an_error(app, in_the_way):
    in_the_way(fastapi.Response("[{", status_code=206, headers={"x-inngest-sdk": "inngest-py:v0.5"}), times=2)
    run = app.run("py-outages/quick")
    assert run["status"] == "Failed"
    assert "error reading generator opcode response" in str(run["output"])


def test_an_unknown_step_is_an_error_and_the_next_attempt_may_work(app, in_the_way):
    unknown = '[{"op":"Unheard","id":"0000000000000000000000000000000000000000","name":"x"}]'
    in_the_way(fastapi.Response(unknown, status_code=206, headers={"x-inngest-sdk": "inngest-py:v0.5"}), times=1)
    assert app.run("py-outages/quick")["output"] == "quick"


def test_a_streaming_app_runs_steps(streaming):
    run = streaming.run("py-streaming/steps")
    assert run["status"] == "Completed"
    assert run["output"] == [1, 2, 3, "größe ✓"]
    assert executions[run["run_id"]] == 3


@pytest.mark.parametrize("fn_id, attempts, message", [("fails", 2, "attempt 1"), ("fails-for-good", 1, "for good")])
def test_a_streaming_app_fails_as_others_do(streaming, fn_id, attempts, message):
    run = streaming.run(f"py-streaming/{fn_id}")
    assert run["status"] == "Failed"
    assert run["output"]["message"] == message
    assert executions[run["run_id"]] == attempts


def test_a_streaming_apps_steps_fail_as_others_do(streaming):
    run = streaming.run("py-streaming/step-fails")
    assert run["output"] == "a step fails"
    assert executions[run["run_id"]] == 2


def test_a_streaming_app_says_when_to_try_again(streaming):
    assert streaming.run("py-streaming/comes-back")["output"] == "came back"
