"""Functions that the server does not take, and what it says of them."""

import asyncio
import datetime
import logging

import fastapi
import httpx
import inngest
import inngest.fast_api
import pytest

from app import start_app

MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.timedelta(days=1)
EVENT = inngest.TriggerEvent(event="py-refusals/event")
CANCEL = inngest.Cancel(event="py-refusals/cancel")
BATCH = inngest.Batch(max_size=2, timeout=MINUTE)


def events(count: int) -> list[inngest.TriggerEvent]:
    return [inngest.TriggerEvent(event=f"py-refusals/event-{number}") for number in range(count)]


def cron(*expressions: str, jitter: str | None = None) -> dict:
    return {"trigger": [inngest.TriggerCron(cron=expression, jitter=jitter) for expression in expressions]}


# Options that are refused, with a part of what is said about them.
REFUSED = {
    "cron that is none": (cron("every day"), "cron"),
    "cron with seconds": (cron("* * * * * *"), "cron"),
    "cron by a name": (cron("@daily"), "cron"),
    "cron out of range": (cron("61 * * * *"), "cron"),
    "cron in no zone": (cron("TZ=Mars/Olympus 0 5 * * *"), "Mars/Olympus"),
    "cron twice": (cron("0 5 * * *", "0 5 * * *"), "duplicate cron expression: 0 5 * * *"),
    "jitter too short": (cron("0 5 * * *", jitter="10ms"), "jitter"),
    "jitter too long": (cron("0 5 * * *", jitter="6m"), "jitter"),
    "event twice": ({"trigger": [EVENT, EVENT]}, "duplicate trigger event: py-refusals/event"),
    "eleven triggers": ({"trigger": events(11)}, "This function exceeds the max number of triggers: 10"),
    "trigger's condition": ({"trigger": inngest.TriggerEvent(event="a/b", expression="event.data.x >")}, "invalid trigger expression on 'a/b'"),
    "long event name": ({"trigger": inngest.TriggerEvent(event="e" * 256)}, "255"),
    "batch and cancel": ({"batch_events": BATCH, "cancel": [CANCEL]}, "Batching and cancellation are mutually exclusive"),
    "batch and debounce": ({"batch_events": BATCH, "debounce": inngest.Debounce(period=MINUTE)}, "Batching and debouncing are mutually exclusive"),
    "batch and singleton": ({"batch_events": BATCH, "singleton": inngest.Singleton(mode="skip")}, "Batching and singletons are mutually exclusive"),
    "batch and priority": ({"batch_events": BATCH, "priority": inngest.Priority(run="1")}, "A function cannot specify Priority.Run and Batch together"),
    "batch of one": ({"batch_events": inngest.Batch(max_size=1, timeout=MINUTE)}, "batch"),
    "six cancellations": ({"cancel": [CANCEL] * 6}, "This function exceeds the max number of cancellation events: 5"),
    "cancellation's condition": ({"cancel": [inngest.Cancel(event="a/b", if_exp="event.data.x ==")]}, "Cancellation expression is invalid"),
    "cancellation calls a function": ({"cancel": [inngest.Cancel(event="a/b", if_exp="size(async.data.x) > 1")]}, "Cancellation expression is invalid"),
    "debounce for too long": ({"debounce": inngest.Debounce(period=8 * DAY)}, "is greater than the max of: 168h0m0s"),
    "rate limit of none": ({"rate_limit": inngest.RateLimit(limit=0, period=MINUTE)}, "limit must be greater than 0"),
    "rate limit for days": ({"rate_limit": inngest.RateLimit(limit=1, period=2 * DAY)}, "period must be less than 24h0m0s"),
    "rate limit's key": ({"rate_limit": inngest.RateLimit(limit=1, period=MINUTE, key="event.data.")}, "key is invalid"),
    "three limits": ({"concurrency": [inngest.Concurrency(limit=n, key=f"'{n}'") for n in (1, 2, 3)]}, "concurrency"),
    "environment's limit without a key": (
        {"concurrency": [inngest.Concurrency(limit=1, scope="env")]},
        "A concurrency key must be specified for Env scoped limits",
    ),
    "limit's key": ({"concurrency": [inngest.Concurrency(limit=1, key="event.data.(")]}, "Invalid concurrency key 'event.data.('"),
}


@pytest.fixture(scope="module")
def app():
    def define(client: inngest.Inngest) -> list[inngest.Function]:
        return [function(client, "fine")]

    with start_app("py-refusals", define) as app:
        yield app


def function(client: inngest.Inngest, fn_id: str, **options) -> inngest.Function:
    @client.create_function(fn_id=fn_id, **{"trigger": EVENT, **options})
    async def handler(ctx: inngest.Context):
        return fn_id

    return handler


def register(app, app_id: str, all_options: dict[str, dict]) -> dict:
    """Has an app register functions of these options; what it was told."""
    logger = logging.getLogger("inngest.silent")
    url = app.server.url
    client = inngest.Inngest(app_id=app_id, api_base_url=url, event_api_base_url=url, is_production=False, logger=logger)
    web = fastapi.FastAPI()
    inngest.fast_api.serve(web, client, [function(client, fn_id, **options) for fn_id, options in all_options.items()])

    async def put() -> dict:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://py-refusals.test") as http:
            return (await http.put("/api/inngest")).json()

    return asyncio.run(put())


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_by_name_and_reason(app, case):
    options, reason = REFUSED[case]
    app_id = "py-refusals-" + "".join(letter if letter.isalnum() else "-" for letter in case)
    told = register(app, app_id, {"fine": {}, "refused": options})
    assert told["error"] == "At least one function is invalid"
    assert told["status"] == 400
    assert reason in str(told["details"])
    assert f"{app_id}-refused" in str(told["details"])
    assert f"{app_id}-fine" not in str(told["details"])
    assert app.ask("GET", f"/v1/apps/{app_id}/functions").json() == [], "none of the app's functions is taken"


def test_all_that_is_wrong_is_said_at_once(app):
    several = {"rate_limit": inngest.RateLimit(limit=0, period=MINUTE), "debounce": inngest.Debounce(period=8 * DAY)}
    told = register(app, "py-refusals-several", {"first": several, "second": cron("never")})
    details = str(told["details"])
    for part in ("py-refusals-several-first", "limit must be greater than 0", "168h0m0s", "py-refusals-several-second", "cron"):
        assert part in details


def test_a_refused_registration_leaves_what_was_there(app):
    told = register(app, "py-refusals", {"fine": {"rate_limit": inngest.RateLimit(limit=0, period=MINUTE)}})
    assert told["error"] == "At least one function is invalid"
    assert app.run("py-refusals/event")["output"] == "fine"


@pytest.mark.parametrize(
    "case",
    [
        cron("0 5 * * *", "TZ=Europe/Paris 0 5 * * 1-5", jitter="30s"),
        cron("CRON_TZ=America/New_York */15 9-17 1,15 1-6 *"),
        {"trigger": events(10)},
        {"cancel": [CANCEL] * 5},
        {"concurrency": [inngest.Concurrency(limit=1), inngest.Concurrency(limit=2, key="event.data.a", scope="account")]},
        {"debounce": inngest.Debounce(period=7 * DAY)},
        {"rate_limit": inngest.RateLimit(limit=1, period=DAY)},
    ],
)
def test_what_is_just_within_the_rules_is_taken(app, case):
    assert register(app, "py-refusals-taken", {"taken": case})["ok"] is True
    [taken] = app.ask("GET", "/v1/apps/py-refusals-taken/functions").json()
    assert taken["slug"] == "py-refusals-taken-taken"
