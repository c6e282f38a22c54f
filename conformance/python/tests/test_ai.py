"""step.ai.infer: the server asks a provider, and the function gets what it said."""

import socket
import urllib.parse

import inngest
import inngest.experimental.ai.anthropic
import inngest.experimental.ai.gemini
import inngest.experimental.ai.openai
import pytest

from app import definer, start_app
from provider import Answer, start_provider

KEY = "sk-a-secret-of-the-test"
ADAPTERS = {
    "openai": inngest.experimental.ai.openai.Adapter,
    "anthropic": inngest.experimental.ai.anthropic.Adapter,
    "gemini": inngest.experimental.ai.gemini.Adapter,
}
REPLY = {"choices": [{"message": {"role": "assistant", "content": "größe ✓"}}], "usage": {"total_tokens": 7, "cost": 1.5}, "none": None}
FINE = Answer(200, REPLY)


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []
    function = definer(client, "py-ai", functions)

    def adapter(ctx: inngest.Context):
        data = ctx.event.data
        return ADAPTERS[data.get("adapter", "openai")](auth_key=KEY, base_url=data["base_url"], headers=data.get("headers"), model="m-1")

    async def ask(ctx: inngest.Context, step_id: str = "ask", content: str = "hello"):
        return await ctx.step.ai.infer(step_id, adapter=adapter(ctx), body={"messages": [{"role": "user", "content": content}], "max_tokens": 3})

    @function("ask", retries=2)
    async def ask_function(ctx: inngest.Context):
        return await ask(ctx)

    @function("ask-and-catch", retries=1)
    async def ask_and_catch(ctx: inngest.Context):
        try:
            return await ask(ctx)
        except inngest.StepError as error:
            return {"name": error.name, "message": error.message}

    @function("ask-at-once")
    async def ask_at_once(ctx: inngest.Context):
        questions = tuple((lambda n=n: ask(ctx, f"ask {n}", f"question {n}")) for n in range(4))
        return await ctx.group.parallel(questions)

    @function("ask-in-a-row")
    async def ask_in_a_row(ctx: inngest.Context):
        async def content(answer):
            return answer["choices"][0]["message"]["content"]

        first = await ctx.step.run("read", content, await ask(ctx))
        return [first, await ask(ctx, "ask", first)]

    @function("ask-from-sync-handler")
    def ask_from_sync_handler(ctx: inngest.ContextSync):
        return ctx.step.ai.infer("ask", adapter=adapter(ctx), body={"messages": []})

    return functions


@pytest.fixture(scope="module")
def provider():
    with start_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def app():
    with start_app("py-ai", define) as app:
        yield app


def test_the_function_gets_the_providers_answer_and_is_not_called_meanwhile(app, provider):
    run = app.run("py-ai/ask", {"base_url": provider.base_url("fine", FINE)})
    assert run["status"] == "Completed"
    assert run["output"] == REPLY
    assert app.calls_of("ask") == ["step", "step"]
    [request] = provider.requests_of("fine")
    assert request.body == {"model": "m-1", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
    assert request.headers["content-type"].startswith("application/json")


def test_openai_gets_its_key_as_a_bearer_and_the_headers_that_were_asked_for(app, provider):
    base_url = provider.base_url("bearer", FINE)
    app.run("py-ai/ask", {"base_url": base_url, "headers": {"X-Organisation": "mine"}})
    [request] = provider.requests_of("bearer")
    assert request.path == "/bearer/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-organisation"] == "mine"


def test_anthropic_gets_its_key_and_its_version(app, provider):
    app.run("py-ai/ask", {"adapter": "anthropic", "base_url": provider.base_url("x-api-key", FINE)})
    [request] = provider.requests_of("x-api-key")
    assert request.path == "/x-api-key/messages"
    assert request.headers["x-api-key"] == KEY
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers


def test_gemini_gets_its_key_once_in_the_query(app, provider):
    app.run("py-ai/ask", {"adapter": "gemini", "base_url": provider.base_url("query", FINE)})
    [request] = provider.requests_of("query")
    url = urllib.parse.urlsplit(request.path)
    assert url.path == "/query/models/m-1:generateContent"
    assert urllib.parse.parse_qs(url.query) == {"key": [KEY]}
    assert "authorization" not in request.headers


def test_a_wrong_key_is_an_error_that_the_function_may_catch_with_the_providers_words(app, provider):
    refusal = Answer(401, {"error": {"message": f"Incorrect API key provided: {KEY}", "type": "invalid_request_error"}})
    run = app.run("py-ai/ask-and-catch", {"base_url": provider.base_url("unauthorized", refusal)})
    assert run["status"] == "Completed"
    assert run["output"]["name"] == "AIGatewayError"
    assert "401" in run["output"]["message"]
    assert "Incorrect API key provided" in run["output"]["message"]
    assert KEY not in run["output"]["message"]


def test_an_error_of_the_provider_that_is_not_caught_fails_the_run(app, provider):
    run = app.run("py-ai/ask", {"base_url": provider.base_url("uncaught", Answer(400, {"error": "no such model"}))})
    assert run["status"] == "Failed"
    assert run["output"]["name"] == "AIGatewayError"
    assert "no such model" in run["output"]["message"]


@pytest.mark.parametrize(
    "case, busy",
    [
        ("too-many", Answer(429, {"error": {"message": "slow down"}}, {"retry-after": "1"})),
        ("broken", Answer(500, "<html>oops</html>", {"content-type": "text/html"})),
        ("overloaded", Answer(529, {"error": {"message": "overloaded"}})),
    ],
)
def test_a_provider_that_is_busy_is_asked_again(app, provider, case, busy):
    run = app.run("py-ai/ask", {"base_url": provider.base_url(case, busy, FINE)})
    assert run["status"] == "Completed"
    assert run["output"] == REPLY
    first, second = provider.requests_of(case)
    assert first == second


def test_a_provider_that_stays_broken_is_asked_as_often_as_the_function_is_tried(app, provider):
    case = "stays-broken"
    run = app.run("py-ai/ask-and-catch", {"base_url": provider.base_url(case, Answer(500, {"error": {"message": "sorry"}}))})
    assert run["status"] == "Completed"
    assert run["output"]["name"] == "AIGatewayError"
    assert "500" in run["output"]["message"] and "sorry" in run["output"]["message"]
    assert len(provider.requests_of(case)) == 2


def test_an_answer_that_is_not_json_is_an_error(app, provider):
    page = Answer(200, "<html>welcome</html>", {"content-type": "text/html"})
    output = app.run("py-ai/ask-and-catch", {"base_url": provider.base_url("page", page)})["output"]
    assert output["name"] == "AIGatewayError"
    assert "JSON" in output["message"]


def test_a_provider_that_is_not_there_is_an_error(app):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    output = app.run("py-ai/ask-and-catch", {"base_url": nobody})["output"]
    assert output["name"] == "AIGatewayError"
    assert nobody in output["message"]


def test_questions_are_asked_at_once_and_each_once(app, provider):
    run = app.run("py-ai/ask-at-once", {"base_url": provider.base_url("at-once", FINE)})
    assert run["output"] == [REPLY] * 4
    asked = [request.body["messages"][0]["content"] for request in provider.requests_of("at-once")]
    assert sorted(asked) == [f"question {n}" for n in range(4)]


def test_one_answer_may_be_the_next_question(app, provider):
    run = app.run("py-ai/ask-in-a-row", {"base_url": provider.base_url("in-a-row", FINE)})
    assert run["output"] == ["größe ✓", REPLY]
    assert provider.requests_of("in-a-row")[1].body["messages"][0]["content"] == "größe ✓"


def test_an_ordinary_function_asks_too(app, provider):
    assert app.run("py-ai/ask-from-sync-handler", {"base_url": provider.base_url("sync", FINE)})["output"] == REPLY
