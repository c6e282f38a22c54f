"""group.parallel: steps at once, and what becomes of them when some fail."""

import collections
import datetime

import inngest
import pytest

from app import definer, start_app

MINUTE = datetime.timedelta(minutes=1)
SECOND = datetime.timedelta(seconds=1)
MODES = {"wait": inngest.ParallelMode.WAIT, "race": inngest.ParallelMode.RACE}
# How often each step's body ran, by run and step.
executions: collections.Counter[tuple[str, str]] = collections.Counter()


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-parallel", functions)

    def step(ctx: inngest.Context, step_id: str, result, fails: int = 0, error: type[Exception] = ValueError):
        """A branch of one step, whose first executions fail."""

        async def body():
            executions[ctx.run_id, step_id] += 1
            if executions[ctx.run_id, step_id] <= fails:
                raise error(f"{step_id} fails")
            return result

        return lambda: ctx.step.run(step_id, body)

    def mode(ctx: inngest.Context) -> inngest.ParallelMode:
        return MODES[ctx.event.data.get("mode", "wait")]

    @function("some-are-flaky", retries=2)
    async def some_are_flaky(ctx: inngest.Context):
        branches = (step(ctx, "a", 1, fails=2), step(ctx, "b", 2), step(ctx, "c", 3, fails=1))
        return await ctx.group.parallel(branches, parallel_mode=mode(ctx))

    @function("one-fails", retries=1)
    async def one_fails(ctx: inngest.Context):
        branches = (step(ctx, "a", 1), step(ctx, "b", 2, fails=9), step(ctx, "c", 3))
        try:
            return await ctx.group.parallel(branches, parallel_mode=mode(ctx))
        except inngest.StepError as error:
            return await step(ctx, "rescue", f"{error.name}: {error.message}")()

    @function("one-fails-uncaught", retries=0)
    async def one_fails_uncaught(ctx: inngest.Context):
        return await ctx.group.parallel((step(ctx, "a", 1), step(ctx, "b", 2, fails=9)), parallel_mode=mode(ctx))

    @function("each-catches", retries=0)
    async def each_catches(ctx: inngest.Context):
        async def outcome(branch):
            try:
                return await branch()
            except inngest.StepError as error:
                return error.message

        branches = [step(ctx, "a", 1, fails=9), step(ctx, "b", 2), step(ctx, "c", 3, fails=9)]
        return await ctx.group.parallel(tuple((lambda branch=branch: outcome(branch)) for branch in branches), parallel_mode=mode(ctx))

    @function("final-in-branch", retries=3)
    async def final_in_branch(ctx: inngest.Context):
        return await ctx.group.parallel((step(ctx, "a", 1), step(ctx, "b", 2, fails=9, error=inngest.NonRetriableError)))

    @function("chains")
    async def chains(ctx: inngest.Context):
        """Two branches of two steps each; the first one's first step waits for the other branch's end."""

        async def waits_first():
            await ctx.step.wait_for_event("wait", event="py-parallel/go", if_exp="event.data.key == async.data.key", timeout=MINUTE)
            return await step(ctx, "after-wait", "waited")()

        async def goes_on():
            await step(ctx, "first", 1)()
            await step(ctx, "second", 2)()
            key = ctx.event.data["key"]
            return await ctx.step.send_event("go", inngest.Event(name="py-parallel/go", data={"key": key}))

        waited, sent = await ctx.group.parallel((waits_first, goes_on), parallel_mode=inngest.ParallelMode.RACE)
        return {"waited": waited, "sent": len(sent)}

    @function("same-id")
    async def same_id(ctx: inngest.Context):
        return await ctx.group.parallel(tuple((lambda n=n: ctx.step.run("same", double, n)) for n in range(5)), parallel_mode=mode(ctx))

    async def double(number):
        return number * 2

    @function("groups-in-a-row")
    async def groups_in_a_row(ctx: inngest.Context):
        first = await ctx.group.parallel((step(ctx, "a", 1), step(ctx, "b", 2)), parallel_mode=mode(ctx))
        between = await step(ctx, "between", sum(first))()
        await ctx.step.sleep("nap", SECOND)
        second = await ctx.group.parallel((step(ctx, "c", between + 1), step(ctx, "d", between + 2)), parallel_mode=mode(ctx))
        return [*first, between, *second]

    @function("sleeps-at-once")
    async def sleeps_at_once(ctx: inngest.Context):
        naps = tuple((lambda n=n: ctx.step.sleep(f"nap {n}", SECOND)) for n in range(5))
        return [*await ctx.group.parallel(naps, parallel_mode=mode(ctx)), await step(ctx, "after", "awake")()]

    @function("nested", retries=2)
    async def nested(ctx: inngest.Context):
        async def outer():
            executions[ctx.run_id, "outer"] += 1
            return await ctx.step.run("inner", double, 1)

        return await ctx.step.run("outer", outer)

    @function("conditional")
    async def conditional(ctx: inngest.Context):
        """Which step comes next depends on the group's results, and its id was in the group already."""
        left, right = await ctx.group.parallel((step(ctx, "left", 1), step(ctx, "right", 2)))
        return await step(ctx, "left" if left > right else "right", left + right)()

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-parallel", define) as app:
        yield app


both_modes = pytest.mark.parametrize("mode", MODES)


def executions_of(run, step_ids):
    return [executions[run["run_id"], step_id] for step_id in step_ids]


@both_modes
def test_each_branch_has_attempts_of_its_own(app, mode):
    run = app.run("py-parallel/some-are-flaky", {"mode": mode})
    assert run["status"] == "Completed"
    assert run["output"] == [1, 2, 3]
    assert executions_of(run, "abc") == [3, 1, 2]


@both_modes
def test_a_branch_that_fails_reaches_the_function_once_and_the_others_are_kept(app, mode):
    run = app.run("py-parallel/one-fails", {"mode": mode})
    assert run["status"] == "Completed"
    assert run["output"] == "ValueError: b fails"
    assert executions_of(run, ["a", "b", "rescue"]) == [1, 2, 1]


@both_modes
def test_a_branch_that_fails_uncaught_fails_the_run(app, mode):
    run = app.run("py-parallel/one-fails-uncaught", {"mode": mode})
    assert run["status"] == "Failed"
    assert (run["output"]["name"], run["output"]["message"]) == ("ValueError", "b fails")
    assert executions_of(run, "b") == [1]


@both_modes
def test_branches_that_catch_their_errors_do_not_disturb_the_others(app, mode):
    run = app.run("py-parallel/each-catches", {"mode": mode})
    assert run["output"] == ["a fails", 2, "c fails"]
    assert executions_of(run, "abc") == [1, 1, 1]


def test_an_error_that_is_final_is_not_tried_again_in_a_branch_either(app):
    run = app.run("py-parallel/final-in-branch")
    assert run["status"] == "Failed"
    assert run["output"]["message"] == "b fails"
    assert executions_of(run, "b") == [1]


def test_branches_that_race_go_on_step_by_step_without_each_other(app):
    run = app.run("py-parallel/chains", {"key": "only"})
    assert run["output"] == {"waited": "waited", "sent": 1}
    assert executions_of(run, ["first", "second", "after-wait"]) == [1, 1, 1]


@both_modes
def test_one_id_in_several_branches_is_several_steps(app, mode):
    assert app.run("py-parallel/same-id", {"mode": mode})["output"] == [0, 2, 4, 6, 8]


@both_modes
def test_groups_follow_each_other_with_steps_and_sleeps_between(app, mode):
    run = app.run("py-parallel/groups-in-a-row", {"mode": mode})
    assert run["output"] == [1, 2, 3, 4, 5]
    assert executions_of(run, ["a", "b", "between", "c", "d"]) == [1] * 5


@both_modes
def test_sleeps_at_once_are_one_sleep_long(app, mode):
    run = app.run("py-parallel/sleeps-at-once", {"mode": mode})
    assert run["output"] == [None] * 5 + ["awake"]
    assert executions_of(run, ["after"]) == [1]


def test_a_step_within_a_step_fails_the_run_by_name_and_at_once(app):
    run = app.run("py-parallel/nested")
    assert run["status"] == "Failed"
    assert "Nested steps are not supported" in run["output"]["message"]
    assert executions_of(run, ["outer"]) == [1]


def test_the_function_may_decide_by_the_groups_results(app):
    run = app.run("py-parallel/conditional")
    assert run["output"] == 3
    assert executions_of(run, ["left", "right"]) == [1, 2]
