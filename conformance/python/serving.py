"""Serves functions on a free local port and says which."""

import json
import logging
import os
import socket
import sys
import threading

import fastapi
import inngest
import inngest.fast_api
import uvicorn


def serve(client: inngest.Inngest, functions: list[inngest.Function], commands: dict | None = None) -> None:
    """Serves until standard input ends, so that no app outlives the process that started it.

    Prints `{"port": …}` first. Each further line on standard input names one of `commands`; its
    result is printed as one JSON line.
    """
    logging.getLogger("inngest").setLevel(logging.ERROR)
    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, functions)

    listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))), backlog=512)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))

    def follow_standard_input() -> None:
        for line in sys.stdin:
            command = line.strip()
            if command:
                print(json.dumps({"command": command, "result": (commands or {})[command]()}), flush=True)
        server.should_exit = True

    threading.Thread(target=follow_standard_input, daemon=True).start()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    server.run(sockets=[listener])
