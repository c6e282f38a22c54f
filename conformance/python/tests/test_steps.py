import collections
import datetime
import time

import inngest
import pytest

from app import definer, start_app

FANS = 20
# How often each step's body ran, by run and step.
executions: collections.Counter[tuple[str, str]] = collections.Counter()


async def value(result):
    return result


def counted(ctx: inngest.Context, step_id: str, result):
    async def body():
        executions[ctx.run_id, step_id] += 1
        return result

    return ctx.step.run(step_id, body)


async def now_ms() -> int:
    return int(time.time() * 1000)


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-steps", functions)

    @function("sequence")
    async def sequence(ctx: inngest.Context):
        first = await counted(ctx, "first", 1)
        second = await counted(ctx, "second", first + 1)
        return {"first": first, "second": second, "third": await counted(ctx, "third", {"value": second + 1})}

    @function("sync-handler")
    def sync_handler(ctx: inngest.ContextSync):
        first = ctx.step.run("first", lambda: 1)
        return ctx.step.run("second", lambda: first + 1)

    @function("repeated")
    async def repeated(ctx: inngest.Context):
        return [await ctx.step.run("again", value, index) for index in range(4)]

    @function("nap")
    async def nap(ctx: inngest.Context):
        before = await ctx.step.run("before", now_ms)
        await ctx.step.sleep("nap", datetime.timedelta(seconds=2))
        return {"slept": await ctx.step.run("after", now_ms) - before}

    @function("nap-until")
    async def nap_until(ctx: inngest.Context):
        async def in_two_seconds():
            return int(time.time()) + 3

        target = await ctx.step.run("target", in_two_seconds)
        await ctx.step.sleep_until("nap", datetime.datetime.fromtimestamp(target, datetime.timezone.utc))
        return {"late": await ctx.step.run("after", now_ms) - target * 1000}

    @function("nap-until-past")
    async def nap_until_past(ctx: inngest.Context):
        await ctx.step.sleep_until("nap", datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc))
        return "awake"

    @function("send")
    async def send(ctx: inngest.Context):
        one = await ctx.step.send_event("one", inngest.Event(name="py-steps/heard", data={"number": 1}))
        two = await ctx.step.send_event("two", [inngest.Event(name="py-steps/heard", data={"number": number}) for number in (2, 3)])
        return [*one, *two]

    @function("heard")
    async def heard(ctx: inngest.Context):
        return ctx.event.data["number"] * 10

    def fork(mode: inngest.ParallelMode):
        async def handler(ctx: inngest.Context):
            branches = tuple((lambda id=id: counted(ctx, id, id.upper())) for id in "abc")
            return await counted(ctx, "join", "".join(await ctx.group.parallel(branches, parallel_mode=mode)))

        return handler

    function("fork")(fork(inngest.ParallelMode.WAIT))
    function("fork-race")(fork(inngest.ParallelMode.RACE))

    @function("fan")
    async def fan(ctx: inngest.Context):
        return sum(await ctx.group.parallel(tuple((lambda n=n: counted(ctx, f"fan {n}", n)) for n in range(FANS))))

    @function("mixed")
    async def mixed(ctx: inngest.Context):
        ran, _, sent = await ctx.group.parallel(
            (
                lambda: counted(ctx, "work", "done"),
                lambda: ctx.step.sleep("nap", datetime.timedelta(seconds=1)),
                lambda: ctx.step.send_event("tell", inngest.Event(name="py-steps/heard", data={"number": 4})),
            )
        )
        return {"ran": ran, "sent": len(sent)}

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-steps", define) as app:
        yield app


def executions_of(run, *step_ids):
    return [executions[run["run_id"], step_id] for step_id in step_ids]


def test_steps_run_once_each_in_order_and_see_the_results_before_them(app):
    run = app.run("py-steps/sequence")
    assert run["status"] == "Completed"
    assert run["output"] == {"first": 1, "second": 2, "third": {"value": 3}}
    assert executions_of(run, "first", "second", "third") == [1, 1, 1]
    assert app.calls_of("sequence") == ["step"] * 4


def test_a_handler_may_be_an_ordinary_function(app):
    assert app.run("py-steps/sync-handler")["output"] == 2


def test_one_step_id_used_four_times_is_four_steps(app):
    assert app.run("py-steps/repeated")["output"] == [0, 1, 2, 3]


def test_a_sleep_is_not_shorter_than_asked(app):
    run = app.run("py-steps/nap")
    assert run["status"] == "Completed"
    # The SDK turns a duration into a date, and dates are rounded to the second.
    assert run["output"]["slept"] >= 1000


def test_sleep_until_wakes_at_its_time_not_before(app):
    assert app.run("py-steps/nap-until")["output"]["late"] >= 0


def test_sleep_until_a_time_that_has_passed_goes_on(app):
    assert app.run("py-steps/nap-until-past")["output"] == "awake"


def test_send_event_sends_once_answers_with_the_ids_and_starts_what_listens(app):
    ids = app.run("py-steps/send")["output"]
    assert len(set(ids)) == 3
    assert [app.ended(event_id)[0]["output"] for event_id in ids] == [10, 20, 30]


@pytest.mark.parametrize("fn_id", ["fork", "fork-race"])
def test_parallel_steps_run_once_each_and_the_step_after_them_once(app, fn_id):
    run = app.run(f"py-steps/{fn_id}")
    assert run["status"] == "Completed"
    assert run["output"] == "ABC"
    assert executions_of(run, "a", "b", "c", "join") == [1, 1, 1, 1]


def test_many_parallel_steps_run_once_each(app):
    run = app.run("py-steps/fan")
    assert run["output"] == FANS * (FANS - 1) / 2
    assert executions_of(run, *(f"fan {n}" for n in range(FANS))) == [1] * FANS


def test_a_step_a_sleep_and_a_sent_event_in_parallel(app):
    run = app.run("py-steps/mixed")
    assert run["output"] == {"ran": "done", "sent": 1}
    assert executions_of(run, "work") == [1]
