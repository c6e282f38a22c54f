"""What spans test files: an app that waits for the clock, from the first test to the last."""

import pytest

import schedules
from app import start_app

LAST = "test_schedules.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A schedule ticks once a minute at most: that minute passes while other tests run.
    items.sort(key=lambda item: item.path.name == LAST)


@pytest.fixture(scope="session", autouse=True)
def scheduled(request: pytest.FixtureRequest):
    """The app whose functions run by schedules; started before the first test."""
    if not any(item.path.name == LAST for item in request.session.items):
        yield None
        return
    with start_app("py-schedules", schedules.define) as app:
        yield app
