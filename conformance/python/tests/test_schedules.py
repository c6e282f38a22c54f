"""Functions that run by the clock. Their app was started before the first test, so that their minute is over soon."""

import datetime

import pytest

from schedules import ticks

# From the registration to the second tick at most, and time to spare.
PATIENCE_S = 150.0


@pytest.fixture(scope="module")
def app(scheduled):
    return scheduled


def first_tick(app, fn_id: str):
    run_id, event = app.until(f"a tick of {fn_id}", lambda: ticks[fn_id][:1], patience=PATIENCE_S)[0]
    return app.end_of(run_id), event


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


@pytest.mark.parametrize("fn_id, cron", [("each-minute", "* * * * *"), ("in-tokyo", "TZ=Asia/Tokyo */1 * * * *")])
def test_a_tick_starts_a_run_that_knows_its_time(app, fn_id, cron):
    run, event = first_tick(app, fn_id)
    assert (run["status"], run["output"], run["cron"]) == ("Completed", "inngest/scheduled.timer", cron)
    assert event.name == "inngest/scheduled.timer"
    assert event.data["cron"] == cron
    at = moment(event.data["scheduledAt"])
    assert (at.second, at.microsecond) == (0, 0)
    assert moment(event.id) == at
    assert event.data["fireAt"] == event.data["scheduledAt"]
    assert event.ts == at.timestamp() * 1000
    assert moment(run["run_started_at"]) >= at


@pytest.mark.parametrize("fn_id", ["each-minute", "by-two-schedules"])
def test_a_tick_is_one_run_though_two_schedules_may_have_it(app, fn_id):
    first_tick(app, fn_id)
    app.run(f"{app.client.app_id}/tick")
    times = [event.id for _, event in ticks[fn_id]]
    assert len(times) == len(set(times)), times


def test_jitter_puts_a_run_off_but_not_its_schedule(app):
    _, event = first_tick(app, "with-jitter")
    late = moment(event.data["fireAt"]) - moment(event.data["scheduledAt"])
    assert datetime.timedelta(seconds=1) <= late < datetime.timedelta(seconds=2)
    assert event.ts == moment(event.data["fireAt"]).timestamp() * 1000


def test_a_function_by_the_clock_may_run_by_an_event_too(app):
    event = f"{app.client.app_id}/tick"
    assert app.run(event)["output"] == event
    _, tick = first_tick(app, "or-by-an-event")
    assert tick.name in (event, "inngest/scheduled.timer")


def test_a_schedule_that_is_far_off_does_not_tick(app):
    first_tick(app, "each-minute")
    assert ticks["far-off"] == []


def test_a_tick_cannot_be_repeated(app):
    run, _ = first_tick(app, "each-minute")
    response = app.ask("POST", f"/v2/runs/{run['run_id']}/rerun")
    assert response.status_code == 501
    assert response.json()["errors"][0]["code"] == "not_implemented"
