import datetime
import os

import inngest
import pytest

from app import join_app, start_app


def greet(client: inngest.Inngest) -> list[inngest.Function]:
    @client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="py-sync/greet"))
    async def greet(ctx: inngest.Context) -> str:
        return f"hello {ctx.event.data['who']}"

    return [greet]


def test_an_app_registers_itself_and_again_without_a_change():
    with start_app("py-sync", greet) as app:
        assert app.register()["modified"] is False
        assert app.run("py-sync/greet", {"who": "you"})["output"] == "hello you"


@pytest.mark.skipif("STEPWELL_URL" in os.environ, reason="needs its own server")
def test_a_dev_server_finds_the_app_at_its_sdk_url():
    with start_app("py-found", greet, register=False) as app:
        call = app.until("the server's PUT", lambda: next((call for call in app.calls if call.method == "PUT"), None))
        assert call.headers["x-inngest-server-kind"] == "dev"
        # Events sent before the registration has been answered start nothing, so each try is a new event.
        runs = app.until("a run of the found function", lambda: app.get(f"/v1/events/{app.send('py-sync/greet', {'who': 'you'})}/runs"))
        assert runs[0]["run_id"]


def test_the_call_carries_the_event_whole():
    seen = {}

    def define(client: inngest.Inngest) -> list[inngest.Function]:
        @client.create_function(fn_id="call", trigger=inngest.TriggerEvent(event="py-sync/call"), retries=2)
        async def call(ctx: inngest.Context) -> None:
            seen.update(event=ctx.event, events=ctx.events, run_id=ctx.run_id, attempt=ctx.attempt)

        return [call]

    with start_app("py-call", define) as app:
        run = app.run("py-sync/call", {"number": 1}, id="py-call-1", ts=1767225600000)

    assert run["status"] == "Completed"
    assert (seen["run_id"], seen["attempt"]) == (run["run_id"], 0)
    event = seen["event"]
    assert (event.id, event.name, event.data, event.ts) == ("py-call-1", "py-sync/call", {"number": 1}, 1767225600000)
    assert [each.id for each in seen["events"]] == ["py-call-1"]


def version(name: str, *fn_ids: str):
    """A deployment of an app whose functions wait and then say of which version they are."""

    def define(client: inngest.Inngest) -> list[inngest.Function]:
        def waits_then_tells(fn_id: str) -> inngest.Function:
            @client.create_function(fn_id=fn_id, trigger=inngest.TriggerEvent(event=f"py-versions/{fn_id}"))
            async def handler(ctx: inngest.Context) -> str:
                await ctx.step.wait_for_event("go", event="py-versions/go", timeout=datetime.timedelta(minutes=1))
                return f"{fn_id} of the {name}"

            return handler

        return [waits_then_tells(fn_id) for fn_id in fn_ids]

    return define


def test_the_next_deployment_goes_on_with_the_runs_and_takes_over_the_functions():
    with start_app("py-versions", version("first", "stays", "goes")) as first:
        run_id = first.parked_at("py-versions/stays")
        with join_app(first.server, "py-versions", version("second", "stays", "comes")) as second:
            slugs = [function["slug"] for function in second.ask("GET", "/v1/apps/py-versions/functions").json()]
            assert sorted(slugs) == ["py-versions-comes", "py-versions-stays"]
            of_the_gone = second.send("py-versions/goes")
            later = second.parked_at("py-versions/comes")
            second.send("py-versions/go")
            assert second.end_of(run_id)["output"] == "stays of the second"
            assert second.end_of(later)["output"] == "comes of the second"
            assert second.get(f"/v1/events/{of_the_gone}/runs") == []
