"""A server that a test can kill and start again, and workers that connect to it."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import typing

import httpx

DEADLINE_S = 30.0
POLL_S = 0.025
LOG_LINES_MAX = 200
ENDED = {"Completed", "Failed", "Cancelled", "Skipped"}
WORKER = pathlib.Path(__file__).with_name("worker.py")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, for servers that come back at the same place."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class Place:
    """A server that keeps its state, at one address for all its lives. Ends everything when it is left."""

    def __init__(self, signing_key: str | None = None) -> None:
        self.signing_key = signing_key
        self.port, self.gateway_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="stepwell-connect-"))
        self.lines: collections.deque[str] = collections.deque(maxlen=LOG_LINES_MAX)
        headers = {"authorization": f"Bearer {signing_key}"} if signing_key else {}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=DEADLINE_S)
        self._workers: list[Worker] = []
        self._server: subprocess.Popen | None = None

    def __enter__(self) -> Place:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end(signal.SIGKILL)
        self.down(signal.SIGKILL)
        self._http.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def up(self) -> None:
        """Starts the server."""
        binary = os.environ.get("STEPWELL_BIN")
        if not binary:
            raise RuntimeError("no server to test: set STEPWELL_BIN to the stepwell binary (cargo build -p stepwell-cli)")
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        options = ["--host", "127.0.0.1", "--port", self.port, "--connect-gateway-port", self.gateway_port]
        options += ["--connect-lease", 6, "--retry-interval", 1, "--grace", 1]
        options += ["--db", self.folder / "db", "--ready-file", ready]
        if self.signing_key:
            options += ["--signing-key", self.signing_key]
        self._server = self.spawn([binary, "dev", *map(str, options)], self.note)
        self.until("the server to be ready", lambda: ready.exists() and ready.read_text())

    def down(self, how: signal.Signals) -> None:
        """Ends the server with a signal."""
        if self._server.poll() is None:
            self._server.send_signal(how)
            self._server.wait()

    def worker(self, instance_id: str, **options: typing.Any) -> Worker:
        """Starts a worker and waits until it is connected."""
        worker = Worker(self, instance_id, **options)
        self._workers.append(worker)
        worker.heard("connected")
        return worker

    def ready(self, count: int) -> None:
        """Waits until so many workers are connected and take calls."""

        def statuses():
            return [row["status"] for row in self.get("/v0/connect/envs/dev/conns") or []]

        self.until(f"{count} ready worker(s)", statuses, lambda seen: seen.count(1) == count)

    def send(self, name: str, **data: typing.Any) -> str:
        """Sends one event and returns its internal id."""
        response = self._http.post("/e/test", json={"name": name, "data": data})
        [event_id] = response.json()["ids"]
        return event_id

    def ended(self, event_id: str) -> dict[str, typing.Any]:
        """The only run of an event, once it has ended."""
        [run] = self.until(
            f"the run of event {event_id} to end",
            lambda: self.get(f"/v1/events/{event_id}/runs"),
            lambda runs: runs and len(runs) == 1 and runs[0]["status"] in ENDED,
        )
        return run

    def run(self, name: str, **data: typing.Any) -> dict[str, typing.Any]:
        return self.ended(self.send(name, **data))

    def get(self, path: str) -> typing.Any:
        """The `data` of an answer; nothing while the server is not there."""
        try:
            return self._http.get(path).json().get("data")
        except httpx.TransportError:
            return None

    def until(self, what: str, probe: typing.Callable[[], typing.Any], holds: typing.Callable[[typing.Any], object] = bool) -> typing.Any:
        deadline = time.monotonic() + DEADLINE_S
        while not holds(seen := probe()):
            if time.monotonic() > deadline:
                said = "\n".join(self.lines)
                raise AssertionError(f"waited {DEADLINE_S:.0f} s for {what}; last seen: {seen!r}\n{said}")
            time.sleep(POLL_S)
        return seen

    def spawn(self, command: list[str], note: typing.Callable[[str], None]) -> subprocess.Popen:
        child = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

        def follow() -> None:
            for line in child.stdout:
                note(line.rstrip())

        threading.Thread(target=follow, daemon=True).start()
        return child

    def note(self, line: str) -> None:
        self.lines.append(line)


class Worker:
    """A worker's process."""

    def __init__(self, place: Place, instance_id: str, *, apps: tuple[str, ...] = ("py-connect",), max_worker_concurrency: int | None = None) -> None:
        about = {
            "url": place.url,
            "instance_id": instance_id,
            "apps": apps,
            "max_worker_concurrency": max_worker_concurrency,
            "signing_key": place.signing_key,
        }
        self._place = place
        self._said: list[dict[str, typing.Any]] = []
        self._process = place.spawn([sys.executable, str(WORKER), json.dumps(about)], self._note)

    def _note(self, line: str) -> None:
        self._place.note(line)
        if line.startswith("{"):
            self._said.append(json.loads(line))

    def heard(self, kind: str, count: int = 1) -> list[dict[str, typing.Any]]:
        """Everything of this kind that the worker has said, once it has said `count` of it."""
        return self._place.until(f'the worker to say "{kind}" {count} times', lambda: self.said(kind), lambda lines: len(lines) >= count)

    def said(self, kind: str) -> list[dict[str, typing.Any]]:
        return [line for line in list(self._said) if kind in line]

    def release(self, key: str) -> None:
        """Lets an execution go on that the worker holds."""
        self._process.stdin.write(f"{key}\n")
        self._process.stdin.flush()

    def signal(self, how: signal.Signals) -> None:
        self._process.send_signal(how)

    def end(self, how: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait()
