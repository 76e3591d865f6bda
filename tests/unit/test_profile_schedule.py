"""Who is due for what, when, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.profiling.schedule import Schedule
from indexer.stores.users import UserKey

ADA, BOB, CAY = ("t", "ada"), ("t", "bob"), ("t", "cay")


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedule(clock: Clock) -> Schedule:
    return Schedule(clock)


def taken(schedule: Schedule) -> list[UserKey]:
    """All that are due, each done at once."""
    found = []
    while (key := schedule.take()) is not None:
        found.append(key)
        schedule.done(key)
    return found


def test_nobody_is_given_out_before_the_time(schedule: Schedule, clock: Clock):
    schedule.add(ADA, 105.0)
    assert schedule.take() is None
    assert schedule.wait_s() == 5.0
    clock.now = 105.0
    assert schedule.take() == ADA


def test_with_nobody_planned_there_is_nothing_to_wait_for(schedule: Schedule):
    assert schedule.take() is None
    assert schedule.wait_s() is None
    assert len(schedule) == 0


def test_a_user_is_in_it_once_at_the_earliest_time(schedule: Schedule, clock: Clock):
    for at in (107.0, 103.0, 105.0, 103.0):
        schedule.add(ADA, at)
    assert len(schedule) == 1
    clock.now = 103.0
    assert taken(schedule) == [ADA]
    clock.now = 200.0
    assert taken(schedule) == []


def test_a_user_is_not_given_out_again_while_being_worked_on(schedule: Schedule, clock: Clock):
    schedule.add(ADA, 100.0)
    assert schedule.take() == ADA
    schedule.add(ADA, 100.0)
    clock.now = 500.0
    assert schedule.take() is None
    schedule.done(ADA)
    assert schedule.take() == ADA


def test_what_comes_meanwhile_is_remembered_as_one_more_time(schedule: Schedule, clock: Clock):
    schedule.add(ADA, 100.0)
    schedule.take()
    for at in (130.0, 120.0, 140.0):
        assert schedule.add(ADA, at)
    schedule.done(ADA)
    assert len(schedule) == 1
    assert schedule.wait_s() == 20.0
    clock.now = 200.0
    assert taken(schedule) == [ADA]


def test_nothing_meanwhile_means_not_again(schedule: Schedule):
    schedule.add(ADA, 100.0)
    assert taken(schedule) == [ADA]
    assert taken(schedule) == []


def test_of_those_due_the_one_waiting_longest_goes_first(schedule: Schedule, clock: Clock):
    for key, at in ((ADA, 103.0), (BOB, 101.0), (CAY, 102.0)):
        schedule.add(key, at)
    clock.now = 110.0
    assert taken(schedule) == [BOB, CAY, ADA]


def test_the_connected_go_first_and_then_the_active(schedule: Schedule, clock: Clock):
    for key, at in ((ADA, 101.0), (BOB, 102.0), (CAY, 103.0)):
        schedule.add(key, at)
    schedule.touch(BOB)
    schedule.connect(CAY, True)
    clock.now = 110.0
    assert taken(schedule) == [CAY, BOB, ADA]


def test_who_has_left_goes_with_the_others(schedule: Schedule):
    schedule.connect(BOB, True)
    schedule.connect(BOB, False)
    schedule.add(ADA, 99.0)
    schedule.add(BOB, 100.0)
    assert taken(schedule) == [ADA, BOB]


def test_who_has_not_looked_for_five_minutes_is_not_active(schedule: Schedule, clock: Clock):
    schedule.touch(BOB)
    clock.now += 301.0
    schedule.add(ADA, 100.0)
    schedule.add(BOB, 101.0)
    assert taken(schedule) == [ADA, BOB]


def test_a_dropped_user_is_not_given_out(schedule: Schedule, clock: Clock):
    schedule.add(ADA, 100.0)
    schedule.drop(ADA)
    assert (schedule.take(), len(schedule)) == (None, 0)


def test_dropping_a_user_at_work_drops_what_was_planned_after(schedule: Schedule):
    schedule.add(ADA, 100.0)
    schedule.take()
    schedule.add(ADA, 100.0)
    schedule.drop(ADA)
    schedule.done(ADA)
    assert schedule.take() is None


def test_a_dropped_user_may_come_back(schedule: Schedule):
    schedule.add(ADA, 100.0)
    schedule.drop(ADA)
    schedule.add(ADA, 100.0)
    assert taken(schedule) == [ADA]


def test_a_full_schedule_takes_nobody_new_but_keeps_those_it_has(schedule: Schedule):
    assert schedule.add(ADA, 200.0)
    for number in range(99_999):
        assert schedule.add(("t", str(number)), 200.0)
    assert not schedule.add(CAY, 100.0)
    assert schedule.add(ADA, 100.0)
    assert taken(schedule) == [ADA]
    assert schedule.add(CAY, 100.0)


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "take", "done", "drop", "touch", "wait"]),
        st.sampled_from([ADA, BOB, CAY]),
        st.integers(0, 20),
    ),
    max_size=60,
)


@given(steps)
def test_nobody_is_twice_at_work_and_whoever_is_planned_comes_in_the_end(
    moves: list[tuple[str, UserKey, int]],
):
    clock = Clock()
    schedule, busy, planned = Schedule(clock), set[UserKey](), set[UserKey]()
    for move, key, amount in moves:
        if move == "add":
            schedule.add(key, clock.now + amount)
            planned.add(key)
        elif move == "drop":
            schedule.drop(key)
            planned.discard(key)
        elif move == "touch":
            schedule.touch(key)
        elif move == "wait":
            clock.now += amount
        elif move == "done" and key in busy:
            busy.remove(key)
            schedule.done(key)
        elif move == "take" and (got := schedule.take()) is not None:
            assert got in planned
            assert got not in busy
            busy.add(got)
            planned.remove(got)
    clock.now += 100.0
    for key in busy:
        schedule.done(key)
    assert set(taken(schedule)) == planned
