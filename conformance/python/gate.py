"""Holds executions of functions for as long as a test likes."""

import asyncio
import threading


class Gate:
    """Holds every execution that enters until the test lets it go, and counts them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.inside = 0
        self.most = 0
        self.left = 0

    async def enter(self) -> None:
        leave = asyncio.Event()
        with self._lock:
            self._held.append((asyncio.get_running_loop(), leave))
            self.inside += 1
            self.most = max(self.most, self.inside)
        await leave.wait()
        with self._lock:
            self.inside -= 1
            self.left += 1

    def release_one(self) -> None:
        with self._lock:
            loop, leave = self._held.pop(0)
        loop.call_soon_threadsafe(leave.set)
