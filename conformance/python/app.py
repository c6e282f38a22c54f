"""An app on the official SDK together with the Stepwell server that runs it.

The server is the one at STEPWELL_URL, or one that is started here from the binary STEPWELL_BIN. The app
lives in the test's own process, so that a test sees each execution of its functions.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import typing

import fastapi
import httpx
import inngest
import inngest.fast_api
import uvicorn

DEADLINE_S = 30.0
# The deadline once some have passed: a broken server need not cost the full time for each test.
LATER_DEADLINE_S = 3.0
PATIENT_WAITS_MAX = 3
POLL_S = 0.025
LOG_LINES_MAX = 200
ENDED = {"Completed", "Failed", "Cancelled", "Skipped"}
# Kinds of queued items that call the app when their time comes, or are calling it.
CALLS = {"start", "discovery", "step", "gateway", "edge", "edge-error"}

Define = typing.Callable[[inngest.Inngest], list[inngest.Function]]


class Call(typing.NamedTuple):
    """One request that the app received."""

    method: str
    function_id: str | None
    step_id: str | None
    headers: dict[str, str]


class App:
    """A served app. Made by `start_app`."""

    def __init__(self, client: inngest.Inngest, app_url: str, server: Server, calls: list[Call]) -> None:
        self.client = client
        self.app_url = app_url
        self.server = server
        self.calls = calls
        # What stands before the app and may answer a call in its place.
        self.in_the_way: typing.Callable[[Call], fastapi.Response | None] | None = None
        self._http = httpx.Client(base_url=server.url, timeout=DEADLINE_S)
        self._deadlines_passed = 0

    def close(self) -> None:
        self._http.close()

    def register(self) -> dict[str, typing.Any]:
        """What a deployment does: has the app send its functions to the server."""
        response = httpx.put(self.app_url, timeout=DEADLINE_S)
        # The SDK answers 200 also when the server has refused its functions.
        if response.status_code != 200 or not response.json().get("ok"):
            self._fail(f"the app could not register: {response.status_code} {response.text}")
        return response.json()

    def send(self, name: str, data: dict[str, typing.Any] | None = None, **rest: typing.Any) -> str:
        """Sends one event and returns its internal id."""
        [event_id] = self.client.send_sync(inngest.Event(name=name, data=data or {}, **rest))
        return event_id

    def run(self, name: str, data: dict[str, typing.Any] | None = None, **rest: typing.Any) -> dict[str, typing.Any]:
        """Sends one event and waits for the end of the one run that it starts."""
        [run] = self.ended(self.send(name, data, **rest))
        return run

    def start(self, name: str, data: dict[str, typing.Any] | None = None, **rest: typing.Any) -> str:
        """Sends one event and returns the id of the one run that it starts."""
        return self.run_of(self.send(name, data, **rest))

    def run_of(self, event_id: str) -> str:
        """The id of the one run that an event starts."""
        [row] = self.until(f"a run of event {event_id}", lambda: self.get(f"/v1/events/{event_id}/runs"))
        return row["run_id"]

    def end_of(self, run_id: str) -> dict[str, typing.Any]:
        """Waits for a run's end; returns it with its output."""
        return self.until(
            f"the end of run {run_id}", lambda: self.get(f"/v1/runs/{run_id}"), lambda run: run.get("status") in ENDED
        )

    def parked(self, run_id: str) -> list[dict[str, typing.Any]]:
        """Waits until an unfinished run calls nobody: it sleeps or waits. Returns what is queued for it."""
        return self.until(
            f"run {run_id} to sleep or wait",
            lambda: self.get(f"/v1/runs/{run_id}/jobs"),
            lambda jobs: jobs and all(job["kind"] not in CALLS for job in jobs),
        )

    def parked_at(self, name: str, data: dict[str, typing.Any] | None = None, **rest: typing.Any) -> str:
        """Sends one event and waits until the one run that it starts sleeps or waits; returns the run's id."""
        run_id = self.start(name, data, **rest)
        self.parked(run_id)
        return run_id

    def verdict(self, event_id: str, function_id: str) -> dict[str, typing.Any]:
        """What the server says became of an event and a function of this app."""
        slug = f"{self.client.app_id}-{function_id}"
        [row] = [row for row in self.get(f"/v1/events/{event_id}/verdicts") if row["function"] == slug]
        return row

    def ended(self, event_id: str, count: int = 1) -> list[dict[str, typing.Any]]:
        """Waits until the event has started exactly `count` runs and all of them ended; returns them with their outputs."""
        rows = self.until(
            f"{count} ended run(s) of event {event_id}",
            lambda: self.get(f"/v1/events/{event_id}/runs"),
            lambda seen: isinstance(seen, list) and len(seen) == count and all(run["status"] in ENDED for run in seen),
        )
        return [self.get(f"/v1/runs/{row['run_id']}") for row in rows]

    def get(self, path: str) -> typing.Any:
        """The `data` of a REST answer."""
        response = self.ask("GET", path)
        if response.status_code != 200:
            return {"status": response.status_code, "body": response.text}
        return response.json()["data"]

    def ask(self, method: str, path: str, body: typing.Any = None) -> httpx.Response:
        """A request to the server."""
        return self._http.request(method, path, json=body)

    def until(
        self,
        what: str,
        probe: typing.Callable[[], typing.Any],
        holds: typing.Callable[[typing.Any], object] = bool,
        patience: float | None = None,
    ) -> typing.Any:
        """Asks `probe` again and again until `holds` of its answer; returns that answer."""
        patience = patience or (DEADLINE_S if self._deadlines_passed < PATIENT_WAITS_MAX else LATER_DEADLINE_S)
        deadline = time.monotonic() + patience
        while True:
            seen = probe()
            if holds(seen):
                return seen
            if time.monotonic() > deadline:
                self._deadlines_passed += 1
                self._fail(f"waited {patience:.0f} s for {what}; last seen: {seen!r}")
            time.sleep(POLL_S)

    def calls_of(self, function_id: str) -> list[str | None]:
        """The step ids of the calls that one function received, in order."""
        slug = f"{self.client.app_id}-{function_id}"
        return [call.step_id for call in self.calls if call.method == "POST" and call.function_id == slug]

    def _fail(self, message: str) -> typing.NoReturn:
        raise AssertionError(f"{message}\n{self.server.log()}")


@contextlib.contextmanager
def start_app(app_id: str, define: Define, *, register: bool = True, **served: typing.Any) -> typing.Iterator[App]:
    """Starts an app and, if needed, its server.

    The app registers itself unless `register` is false: then the server has to find it at its `--sdk-url`.
    """
    with listening() as listener, server_for(url_of(listener)) as server:
        with join_app(server, app_id, define, listener=listener, register=register, **served) as app:
            yield app


@contextlib.contextmanager
def join_app(
    server: Server,
    app_id: str,
    define: Define,
    *,
    listener: socket.socket | None = None,
    register: bool = True,
    **served: typing.Any,
) -> typing.Iterator[App]:
    """Starts an app on a server that is there already. `served` goes to the SDK's `serve`."""
    with contextlib.ExitStack() as stack:
        listener = listener or stack.enter_context(listening())
        logger = logging.getLogger("inngest.silent")
        logger.disabled = True
        client = inngest.Inngest(
            app_id=app_id, api_base_url=server.url, event_api_base_url=server.url, is_production=False, logger=logger
        )
        app = stack.enter_context(contextlib.closing(App(client, url_of(listener), server, [])))
        stack.enter_context(_served(listener, app, define(client), **served))
        if register:
            app.register()
        yield app


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/api/inngest"


@contextlib.contextmanager
def _served(
    listener: socket.socket, app: App, functions: list[inngest.Function], **served: typing.Any
) -> typing.Iterator[None]:
    web = fastapi.FastAPI()

    @web.middleware("http")
    async def note_call(request: fastapi.Request, call_next):
        query = request.query_params
        call = Call(request.method, query.get("fnId"), query.get("stepId"), dict(request.headers))
        app.calls.append(call)
        return (app.in_the_way and app.in_the_way(call)) or await call_next(request)

    inngest.fast_api.serve(web, app.client, functions, **served)
    web_server = uvicorn.Server(uvicorn.Config(web, log_level="error", access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=web_server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        web_server.should_exit = True
        thread.join(timeout=DEADLINE_S)


class Server:
    """The server under test, and what it said last."""

    def __init__(self, url: str, lines: collections.deque[str] | None = None) -> None:
        self.url = url.rstrip("/")
        self._lines = lines

    def log(self) -> str:
        if self._lines is None:
            return f"(the log is with the server at {self.url})"
        return "--- the server's last lines ---\n" + "".join(self._lines)


@contextlib.contextmanager
def server_for(app_url: str) -> typing.Iterator[Server]:
    if url := os.environ.get("STEPWELL_URL"):
        yield Server(url)
        return
    binary = os.environ.get("STEPWELL_BIN")
    if not binary:
        raise RuntimeError(
            "no server to test: set STEPWELL_URL to a running server, or STEPWELL_BIN to the stepwell binary (cargo build -p stepwell-cli)"
        )
    folder = pathlib.Path(tempfile.mkdtemp(prefix="stepwell-conformance-"))
    ready_file = folder / "ready"
    options = ["--host", "127.0.0.1", "--port", "0", "--retry-interval", "1"]
    options += ["--sdk-url", app_url, "--ready-file", str(ready_file)]
    child = subprocess.Popen(
        [binary, "dev", "--no-discovery", *options], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: collections.deque[str] = collections.deque(maxlen=LOG_LINES_MAX)
    threading.Thread(target=lambda: lines.extend(child.stdout), daemon=True).start()
    try:
        yield Server(_ready_url(child, binary, ready_file, lines), lines)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _ready_url(child: subprocess.Popen, binary: str, ready_file: pathlib.Path, lines: collections.deque[str]) -> str:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        url = ready_file.read_text().strip() if ready_file.exists() else ""
        if url:
            return url
        said = Server("", lines).log()
        if child.poll() is not None:
            raise RuntimeError(f"{binary} dev ended (exit code {child.returncode}) before it was ready\n{said}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{binary} dev was not ready within {DEADLINE_S:.0f} s: {ready_file} is missing or empty\n{said}")
        time.sleep(POLL_S)


def definer(client: inngest.Inngest, prefix: str, functions: list[inngest.Function]):
    """A decorator that adds a function `fn_id`, triggered by `prefix/fn_id`, to `functions`."""

    def define(fn_id: str, **options: typing.Any):
        options.setdefault("trigger", inngest.TriggerEvent(event=f"{prefix}/{fn_id}"))

        def register(handler):
            functions.append(client.create_function(fn_id=fn_id, **options)(handler))
            return handler

        return register

    return define
