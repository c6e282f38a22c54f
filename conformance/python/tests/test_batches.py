"""Functions that run for several events at once."""

import datetime
import uuid

import inngest
import pytest

from app import definer, start_app

MINUTE = datetime.timedelta(minutes=1)
SECOND = datetime.timedelta(seconds=1)
failures_seen: dict[str, dict] = {}
attempts: dict[str, list[int]] = {}


def numbers(ctx: inngest.Context) -> list[int]:
    return [event.data["number"] for event in ctx.events]


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-batches", functions)

    @function("full", batch_events=inngest.Batch(max_size=3, timeout=MINUTE))
    async def full(ctx: inngest.Context):
        async def total():
            return sum(numbers(ctx))

        return {
            "first": ctx.event.data["number"],
            "numbers": numbers(ctx),
            "ids": [event.id for event in ctx.events],
            "total": await ctx.step.run("total", total),
        }

    @function("timeout", batch_events=inngest.Batch(max_size=10, timeout=SECOND))
    async def timeout(ctx: inngest.Context):
        return numbers(ctx)

    @function("keyed", batch_events=inngest.Batch(max_size=2, timeout=MINUTE, key="event.data.account"))
    async def keyed(ctx: inngest.Context):
        return numbers(ctx)

    @function("conditional", batch_events=inngest.Batch(max_size=2, timeout=MINUTE, if_exp="event.data.urgent != true"))
    async def conditional(ctx: inngest.Context):
        return numbers(ctx)

    async def on_failure(ctx: inngest.Context):
        failures_seen[ctx.event.data["run_id"]] = dict(ctx.event.data)

    @function("fails", retries=1, batch_events=inngest.Batch(max_size=2, timeout=MINUTE), on_failure=on_failure)
    async def fails(ctx: inngest.Context):
        attempts.setdefault(ctx.run_id, []).append(ctx.attempt)
        raise ValueError(f"no good: {numbers(ctx)}")

    @function("waits", batch_events=inngest.Batch(max_size=2, timeout=MINUTE))
    async def waits(ctx: inngest.Context):
        found = await ctx.step.wait_for_event("go", event="py-batches/go", if_exp="event.data.key == async.data.key", timeout=MINUTE)
        return {"numbers": numbers(ctx), "found": found and found.data["key"]}

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-batches", define) as app:
        yield app


def send_numbers(app, name, all_data) -> list[str]:
    """Sends numbered events in one request, so that they come together and in order."""
    return app.client.send_sync([inngest.Event(name=name, data={"number": number, **data}) for number, data in enumerate(all_data, 1)])


def the_run_of(app, ids: list[str]) -> dict:
    """The end of the one run that all of these events share."""
    run_ids = {app.run_of(event_id) for event_id in ids}
    assert len(run_ids) == 1, f"one run for all: {run_ids}"
    return app.end_of(run_ids.pop())


def test_a_full_batch_runs_at_once_for_its_events_in_order(app):
    ids = send_numbers(app, "py-batches/full", [{}] * 3)
    run = the_run_of(app, ids)
    assert run["status"] == "Completed"
    assert run["output"] == {"first": 1, "numbers": [1, 2, 3], "ids": ids, "total": 6}
    assert run["batch_id"]


def test_events_beyond_a_full_batch_begin_the_next(app):
    ids = send_numbers(app, "py-batches/full", [{}] * 7)
    assert the_run_of(app, ids[:3])["output"]["numbers"] == [1, 2, 3]
    assert the_run_of(app, ids[3:6])["output"]["numbers"] == [4, 5, 6]
    assert app.get(f"/v1/events/{ids[6]}/runs") == []
    assert app.verdict(ids[6], "full")["verdict"] == "batched"
    ids[6:] += send_numbers(app, "py-batches/full", [{}] * 2)
    assert the_run_of(app, ids[6:])["output"]["numbers"] == [7, 1, 2]


def test_a_batch_that_does_not_fill_runs_when_its_time_is_up(app):
    ids = send_numbers(app, "py-batches/timeout", [{}] * 2)
    assert the_run_of(app, ids)["output"] == [1, 2]


def test_each_value_of_the_key_has_a_batch_of_its_own(app):
    ids = send_numbers(app, "py-batches/keyed", [{"account": account} for account in "abba"])
    assert the_run_of(app, [ids[0], ids[3]])["output"] == [1, 4]
    assert the_run_of(app, ids[1:3])["output"] == [2, 3]


def test_an_event_that_does_not_meet_the_batches_condition_runs_alone(app):
    first, urgent, second = send_numbers(app, "py-batches/conditional", [{}, {"urgent": True}, {}])
    assert the_run_of(app, [urgent])["output"] == [2]
    assert the_run_of(app, [first, second])["output"] == [1, 3]


def test_a_batch_that_fails_is_tried_again_as_a_whole_and_its_handler_gets_every_event(app):
    run = the_run_of(app, send_numbers(app, "py-batches/fails", [{}] * 2))
    assert run["status"] == "Failed"
    assert run["output"]["message"] == "no good: [1, 2]"
    assert attempts[run["run_id"]] == [0, 1]
    seen = app.until("the failure handler", lambda: failures_seen.get(run["run_id"]))
    assert [event["data"]["number"] for event in seen["events"]] == [1, 2]
    assert seen["event"]["data"]["number"] == 1


def test_the_condition_of_a_wait_reads_a_batches_first_event(app):
    key = str(uuid.uuid4())
    ids = send_numbers(app, "py-batches/waits", [{"key": key}, {"key": "of the second"}])
    run_id = app.run_of(ids[1])
    app.parked(run_id)
    app.send("py-batches/go", {"key": "of the second"})
    app.send("py-batches/go", {"key": key})
    assert app.end_of(run_id)["output"] == {"numbers": [1, 2], "found": key}


def test_a_batches_run_can_be_cancelled_by_request(app):
    run_id = app.run_of(send_numbers(app, "py-batches/waits", [{"key": "a"}, {"key": "b"}])[0])
    app.parked(run_id)
    assert app.ask("DELETE", f"/v1/runs/{run_id}").status_code == 200
    assert app.end_of(run_id)["status"] == "Cancelled"
