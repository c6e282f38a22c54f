import datetime

import inngest
import pytest

from app import definer, start_app

BIG = 1_000_000
VALUES = {
    "object": {"text": "größe ✓", "number": 1.5, "nested": {"list": [1, [2], {}], "none": None}},
    "array": [1, "two", None, False],
    "text": "plain",
    "empty-text": "",
    "zero": 0,
    "false": False,
    "null": None,
}


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-results", functions)

    def returns(result):
        async def handler(ctx: inngest.Context):
            return result

        return handler

    for fn_id, result in VALUES.items():
        function(fn_id)(returns(result))

    @function("big")
    async def big(ctx: inngest.Context):
        async def body():
            return "x" * BIG

        text = await ctx.step.run("big step", body)
        await ctx.step.sleep("so that the step is sent back", datetime.timedelta(seconds=1))
        return {"length": len(text), "text": text}

    @function("big-event")
    async def big_event(ctx: inngest.Context):
        return len(ctx.event.data["text"])

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-results", define) as app:
        yield app


@pytest.mark.parametrize("fn_id", VALUES)
def test_a_function_may_return(app, fn_id):
    run = app.run(f"py-results/{fn_id}")
    assert run["status"] == "Completed"
    assert run.get("output") == VALUES[fn_id]
    assert run["ended_at"], "an ended run says when"


def test_a_megabyte_as_a_steps_result_and_as_a_functions(app):
    assert app.run("py-results/big")["output"] == {"length": BIG, "text": "x" * BIG}


def test_a_megabyte_in_an_event(app):
    assert app.run("py-results/big-event", {"text": "y" * BIG})["output"] == BIG
