"""Workers that connect by themselves, and what becomes of their calls when they, or the server, go."""

import signal

import pytest

from workers import Place

KEY = "signkey-test-00112233445566778899aabbccddeeff"


@pytest.fixture(scope="module", params=[None, KEY], ids=["open", "locked"])
def place(request):
    with Place(request.param) as place:
        yield place


@pytest.fixture
def worker(place):
    workers = []

    def start(*about, **options):
        workers.append(place.worker(*about, **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end(signal.SIGKILL)
    place.ready(0)


def test_steps_sleeps_retries_and_failures(place, worker):
    worker("alone")
    run = place.run("py-connect/steps", text="hello")
    assert run["output"] == {"first": "hello!", "both": ["left", "right"], "by": "alone"}
    assert place.run("py-connect/fails-once")["output"] == 1
    failed = place.run("py-connect/never-again")
    assert failed["status"] == "Failed"
    assert failed["output"]["message"] == "for good"


def test_two_apps_on_one_connection(place, worker):
    worker("both", apps=("py-connect", "py-other"))
    for app_id in ("py-connect", "py-other"):
        assert place.run(f"{app_id}/steps", text=app_id)["output"]["first"] == f"{app_id}!"


def test_a_worker_killed_in_the_middle_of_a_call(place, worker):
    first = worker("first")
    event = place.send("py-connect/held", key="killed")
    first.heard("entered")
    second = worker("second")
    first.end(signal.SIGKILL)
    second.heard("entered")
    second.release("killed")
    assert place.ended(event)["output"] == {"by": "second", "attempt": 1}


def test_a_worker_that_is_told_to_stop_finishes_what_it_has(place, worker):
    first = worker("first")
    event = place.send("py-connect/held", key="finished")
    first.heard("entered")
    second = worker("second")
    first.signal(signal.SIGTERM)
    place.ready(1)
    later = place.send("py-connect/held", key="later")
    second.heard("entered")
    second.release("later")
    assert place.ended(later)["output"] == {"by": "second", "attempt": 0}
    first.release("finished")
    assert place.ended(event)["output"] == {"by": "first", "attempt": 0}
    first.heard("closed")


def test_no_more_calls_at_once_than_a_worker_wants(place, worker):
    busy = worker("busy", max_worker_concurrency=2)
    keys = [f"{number}-of-five" for number in range(5)]
    events = [place.send("py-connect/held", key=key) for key in keys]
    for ended in range(5):
        entered = busy.heard("entered", min(ended + 2, 5))
        assert len(entered) <= ended + 2
        busy.release(entered[ended]["entered"])
    for event in events:
        assert place.ended(event)["output"] == {"by": "busy", "attempt": 0}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_goes_and_comes_back(how):
    with Place() as place:
        worker = place.worker("worker")
        event = place.send("py-connect/held", key="restart")
        worker.heard("entered")
        place.down(how)
        place.up()

        def run():
            # Whether it is executed again depends on who is faster; that it costs no attempt does not.
            worker.release("restart")
            return place.get(f"/v1/events/{event}/runs")

        [ended] = place.until("the run to end", run, lambda runs: runs and runs[0]["ended_at"])
        assert ended["output"] == {"by": "worker", "attempt": 0}
        place.ready(1)
        assert place.run("py-connect/steps", text="again")["output"]["first"] == "again!"
