"""What spans test files: an app that waits for the clock, from the first test to the last."""

import os

import pytest

import schedules
from app import start_app

LAST = "test_schedules.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A schedule ticks once a minute at most: that minute passes while other tests run.
    items.sort(key=lambda item: item.path.name == LAST)


@pytest.fixture(scope="session", autouse=True)
def scheduled(request: pytest.FixtureRequest):
    """The app whose functions run by schedules; started before the first test.

    Which of several workers will need it is not known then, so each has its own, under a name of its own.
    """
    if not any(item.path.name == LAST for item in request.session.items):
        yield None
        return
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    with start_app(f"py-schedules-{worker}", schedules.define) as app:
        yield app
