"""An AI provider on loopback that answers as it is told."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import typing


class Request(typing.NamedTuple):
    path: str
    headers: dict[str, str]
    body: typing.Any


class Answer(typing.NamedTuple):
    status: int = 200
    body: typing.Any = None
    headers: dict[str, str] = {}


class Provider:
    """Made by `start_provider`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self._answers: dict[str, list[Answer]] = {}

    def base_url(self, case: str, *answers: Answer) -> str:
        """A base URL whose requests get these answers in turn, and the last one from then on."""
        self._answers[case] = list(answers)
        return f"{self.url}/{case}"

    def requests_of(self, case: str) -> list[Request]:
        return [request for request in self.requests if _case(request.path) == case]

    def _answer(self, request: Request) -> Answer:
        self.requests.append(request)
        answers = self._answers[_case(request.path)]
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _case(path: str) -> str:
    return path.split("/")[1]


@contextlib.contextmanager
def start_provider() -> typing.Iterator[Provider]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = provider._answer(Request(self.path, headers, json.loads(body)))
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            for name, value in {"content-type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
