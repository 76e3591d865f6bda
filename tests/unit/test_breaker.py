"""The circuit breaker."""

from __future__ import annotations

from itertools import pairwise

import pytest

from indexer.errors import ProviderUnavailable
from indexer.provider.breaker import Breaker, ProbePace


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> ProbePace:
    return ProbePace(clock=clock)


@pytest.fixture
def breaker(pace: ProbePace) -> Breaker:
    return Breaker(pace)


def fails(breaker: Breaker, times: int = 1, reason: str = "status 500") -> None:
    for _ in range(times):
        with breaker.call():
            breaker.fail(reason)


def opened(pace: ProbePace) -> Breaker:
    breaker = Breaker(pace)
    fails(breaker, 5)
    return breaker


def goes_through(breaker: Breaker) -> bool:
    """Whether one call does; it is then given up, which is neither success nor failure."""
    try:
        with breaker.call():
            return True
    except ProviderUnavailable:
        return False


def test_four_failures_in_a_row_leave_it_closed_and_the_fifth_opens_it(breaker: Breaker):
    fails(breaker, 4)
    assert breaker.state == "closed"
    fails(breaker)
    assert breaker.state == "open"


def test_a_success_between_failures_starts_the_count_anew(breaker: Breaker):
    fails(breaker, 4)
    breaker.succeed()
    fails(breaker, 4)
    assert breaker.state == "closed"


def test_failures_of_calls_under_way_together_count_each(breaker: Breaker):
    for _ in range(5):
        breaker.fail("timeout")
    assert breaker.state == "open"


def test_an_open_one_lets_nothing_through_and_says_why(breaker: Breaker):
    fails(breaker, 5, "status 503")
    with pytest.raises(ProviderUnavailable, match="left alone for now: status 503") as caught:
        breaker.call().__enter__()
    assert caught.value.fault == "breaker_open"
    assert not caught.value.again
    assert caught.value.retryable


def test_a_closed_one_lets_any_number_through_at_once(breaker: Breaker):
    with breaker.call() as one, breaker.call() as two, breaker.call() as three:
        assert [one, two, three] == [False] * 3


def test_the_first_probe_goes_a_second_after_opening(pace: ProbePace, clock: Clock):
    breaker = opened(pace)
    clock.now += 0.999
    assert not breaker.passable
    clock.now += 0.002
    assert breaker.passable
    with breaker.call() as probe:
        assert probe
        assert breaker.state == "half-open"


def test_one_probe_is_under_way_at_a_time_however_long_it_takes(pace: ProbePace, clock: Clock):
    breaker = opened(pace)
    clock.now += 2
    with breaker.call():
        clock.now += 60
        assert not breaker.passable
        assert not goes_through(breaker)
        assert breaker.state == "half-open"


def test_at_most_one_probe_a_second_is_sent_over_all_breakers_of_a_pace(
    pace: ProbePace, clock: Clock
):
    breakers = [opened(pace) for _ in range(3)]
    clock.now += 5
    sent = []
    for _ in range(100):
        clock.now += 0.1
        sent += [clock.now for breaker in breakers if goes_through(breaker)]
    assert len(sent) >= 9
    assert all(later - sooner >= 0.999 for sooner, later in pairwise(sent))


def test_breakers_of_different_paces_do_not_wait_for_each_other(clock: Clock):
    one, two = opened(ProbePace(clock=clock)), opened(ProbePace(clock=clock))
    clock.now += 1
    assert goes_through(one)
    assert goes_through(two)


def test_a_breaker_that_opens_delays_the_probes_of_the_others(pace: ProbePace, clock: Clock):
    first = opened(pace)
    clock.now += 0.9
    opened(pace)
    clock.now += 0.5
    assert not first.passable


def test_a_probe_that_succeeds_closes_it(pace: ProbePace, clock: Clock):
    breaker = opened(pace)
    clock.now += 1
    with breaker.call():
        breaker.succeed()
    assert breaker.state == "closed"
    assert breaker.reason == ""
    fails(breaker, 4)
    assert breaker.state == "closed"


def test_a_probe_that_fails_leaves_it_open_for_another_second(pace: ProbePace, clock: Clock):
    breaker = opened(pace)
    clock.now += 1
    fails(breaker, reason="still away")
    assert (breaker.state, breaker.reason) == ("open", "still away")
    assert not breaker.passable
    clock.now += 1
    assert breaker.passable


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, GeneratorExit])
def test_an_abandoned_probe_makes_room_for_the_next(
    pace: ProbePace, clock: Clock, error: type[BaseException]
):
    breaker = opened(pace)
    clock.now += 1
    with pytest.raises(error), breaker.call():
        raise error
    assert breaker.state == "open"
    assert not breaker.passable
    clock.now += 1
    assert goes_through(breaker)


def test_asking_whether_a_call_would_pass_uses_nothing_up(pace: ProbePace, clock: Clock):
    breaker = opened(pace)
    clock.now += 1
    assert all(breaker.passable for _ in range(3))
    assert goes_through(breaker)


# A retry that is owed


def test_a_retry_that_is_owed_passes_an_open_one_and_is_no_probe(pace: ProbePace):
    breaker = opened(pace)
    with breaker.call(anyway=True) as probe:
        assert not probe
        assert breaker.state == "open"


def test_a_retry_that_is_owed_takes_no_probes_turn(pace: ProbePace, clock: Clock):
    breaker = opened(pace)
    clock.now += 1
    with breaker.call(anyway=True):
        assert breaker.passable
        with breaker.call() as probe:
            assert probe
    assert breaker.state == "open"


def test_the_end_of_an_owed_retry_does_not_end_a_probe(pace: ProbePace, clock: Clock):
    breaker = opened(pace)
    clock.now += 1
    with breaker.call():
        with breaker.call(anyway=True):
            pass
        assert breaker.state == "half-open"


# Tripped


def test_a_trip_opens_at_once(breaker: Breaker):
    breaker.trip("the key was refused")
    assert breaker.state == "open"
    assert not goes_through(breaker)
    assert breaker.reason == "the key was refused"


def test_a_trip_may_put_the_next_probe_off(breaker: Breaker, clock: Clock):
    breaker.trip("the key was refused", 10.0)
    clock.now += 9.9
    assert not breaker.passable
    clock.now += 0.2
    assert goes_through(breaker)


def test_each_trip_puts_the_probe_off_anew(breaker: Breaker, clock: Clock):
    breaker.trip("the key was refused", 10.0)
    clock.now += 10
    with breaker.call():
        breaker.trip("the key was refused", 10.0)
    clock.now += 9.9
    assert not breaker.passable


def test_a_call_that_fails_late_does_not_bring_a_put_off_probe_forward(
    breaker: Breaker, clock: Clock
):
    with breaker.call():
        breaker.trip("the key was refused", 10.0)
        breaker.fail("status 500")
    clock.now += 5
    assert not breaker.passable
    clock.now += 5.1
    assert breaker.passable


def test_a_success_ends_a_trip(breaker: Breaker):
    breaker.trip("the key was refused", 10.0)
    breaker.succeed()
    assert goes_through(breaker)
    assert breaker.state == "closed"
