"""Every operation of the API, as /openapi.json describes it, with requests made up from that description."""

import hypothesis
import inngest
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app import App, definer, start_app

EXAMPLES = 30
CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-openapi", functions)

    @function("counts")
    async def counts(ctx: inngest.Context):
        async def body():
            return ctx.event.data

        return await ctx.step.run("count", body)

    @function("fails", retries=0)
    async def fails(ctx: inngest.Context):
        raise ValueError("no luck")

    @function("waits")
    async def waits(ctx: inngest.Context):
        await ctx.step.wait_for_event("wait", event="py-openapi/never", timeout=86_400_000)

    return functions


@pytest.fixture(scope="module")
def app():
    with start_app("py-openapi", define) as app:
        yield app


@pytest.fixture(scope="module")
def known(app: App) -> dict[str, list[str]]:
    """What is there to be asked for, by the names of parameters."""
    events = [app.send(f"py-openapi/{name}", {"n": 1}) for name in ("counts", "fails")]
    runs = [app.ended(event)[0]["run_id"] for event in events]
    events.append(app.send("py-openapi/waits"))
    runs.append(app.run_of(events[-1]))
    return {
        "run": runs,
        "event": events,
        "app": ["py-openapi"],
        "function": ["counts", "py-openapi-fails", "py-openapi-waits"],
    }


@pytest.fixture(scope="module")
def described(app: App, known: dict[str, list[str]]):
    schema = schemathesis.openapi.from_url(f"{app.server.url}/openapi.json")

    # Of made-up ids next to none is there: half of the requests are for something that is.
    @schema.hook
    def map_path_parameters(context, path_parameters):
        for name, values in known.items():
            if isinstance(made_up := (path_parameters or {}).get(name), str) and sum(made_up.encode()) % 2:
                path_parameters[name] = values[sum(made_up.encode()) // 2 % len(values)]
        return path_parameters

    return schema


def requests(operation: schemathesis.APIOperation):
    """Such as are meant, and such as are not, where there is anything to get wrong."""
    meant = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not (operation.body or operation.query or operation.path_parameters):
        return meant
    return meant | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


def check(operation: schemathesis.APIOperation, checks: list) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=requests(operation))
    def does_what_it_says(case: schemathesis.Case):
        case.call_and_validate(checks=checks)

    does_what_it_says()


def operations(described) -> list:
    """All operations but those that wait for a run's end."""
    found = [operation.ok() for operation in described.get_all_operations()]
    assert len(found) > 60
    return [operation for operation in found if not operation.path.endswith("/output")]


def test_every_operation_does_what_it_says(described):
    broken = {}
    for operation in operations(described):
        unavailable = "Unavailable" in (operation.tags or [])
        try:
            check(operation, CONFORMANCE if unavailable else [not_a_server_error, *CONFORMANCE])
        except Exception as error:
            broken[operation.label] = str(error)
    assert not broken, "\n\n".join(f"{label}: {error}" for label, error in broken.items())


def test_what_is_not_available_says_so(described, app: App):
    unavailable = [operation for operation in operations(described) if "Unavailable" in (operation.tags or [])]
    assert unavailable
    for operation in unavailable:
        response = app.ask(operation.method.upper(), operation.path)
        assert response.status_code == 501, operation.label
        assert response.json()["errors"][0]["code"] == "not_implemented"
