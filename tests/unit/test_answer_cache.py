"""Cached answers in this process, and the keys they have in others."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.settings import load_settings
from indexer.telemetry import Telemetry
from recsvc.cache import open_cache
from recsvc.cache.memory import MemoryCache
from recsvc.cache.redis import RedisCache, answer_key
from recsvc.rules import Boost, Rules

ANSWER = {"items": ["p1"]}
PARAMS = Rules(novelty=0.5, boosts=(Boost(1.5, filter=("brand=acme",)),))


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Answers:
    """A cache of 300 s, asked without waiting."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cache = MemoryCache(300.0, self.clock)
        self.put, self.drop_user = self.cache.put, self.cache.drop_user

    def get(self, *key: Any) -> Any:
        asked = self.cache.get(*key)
        with pytest.raises(StopIteration) as answered:
            asked.send(None)
        return answered.value.value


def test_an_answer_is_found_under_what_it_depends_on():
    answers = Answers()
    answers.put("t", "u", (1,), "params", ANSWER)
    assert answers.get("t", "u", (1,), "params") == ANSWER


def test_another_version_is_never_found():
    answers = Answers()
    answers.put("t", "u", (1,), "params", ANSWER)
    assert answers.get("t", "u", (2,), "params") is None
    assert answers.get("t", "u", (0,), "params") is None


def test_a_new_version_replaces_all_answers_of_the_old_one():
    answers = Answers()
    answers.put("t", "u", (1,), "some", ANSWER)
    answers.put("t", "u", (2,), "others", ANSWER)
    assert answers.get("t", "u", (1,), "some") is None
    assert answers.get("t", "u", (2,), "some") is None


def test_other_parameters_users_and_tenants_have_answers_of_their_own():
    answers = Answers()
    answers.put("t", "u", (1,), "params", ANSWER)
    assert answers.get("t", "u", (1,), "other") is None
    assert answers.get("t", "v", (1,), "params") is None
    assert answers.get("s", "u", (1,), "params") is None


def test_dropping_a_user_forgets_that_users_answers_only():
    answers = Answers()
    for user_id in ("u", "v"):
        answers.put("t", user_id, (1,), "params", ANSWER)
    answers.drop_user("t", "u")
    assert answers.get("t", "u", (1,), "params") is None
    assert answers.get("t", "v", (1,), "params") == ANSWER


def test_dropping_an_unknown_user_is_no_error():
    answers = Answers()
    answers.drop_user("t", "nobody")
    assert answers.get("t", "nobody", (1,), "params") is None


def test_a_user_cannot_fill_the_cache():
    answers = Answers()
    for params in range(1_000):
        answers.put("t", "u", (1,), params, ANSWER)
    kept = [params for params in range(1_000) if answers.get("t", "u", (1,), params)]
    assert 0 < len(kept) <= 32
    assert kept[-1] == 999


def test_users_cannot_fill_the_cache():
    answers = Answers()
    for n in range(10_500):
        answers.put("t", f"u{n}", (1,), "params", ANSWER)
    assert answers.get("t", "u0", (1,), "params") is None
    assert answers.get("t", "u10499", (1,), "params") == ANSWER


def test_an_answer_is_gone_when_its_time_is_up():
    answers = Answers()
    answers.put("t", "u", (1,), "params", ANSWER)
    answers.clock.now += 299.0
    assert answers.get("t", "u", (1,), "params") == ANSWER
    answers.clock.now += 1.0
    assert answers.get("t", "u", (1,), "params") is None


def test_an_answer_made_elsewhere_is_gone_when_its_own_time_is_up():
    answers = Answers()
    answers.put("t", "u", (1,), "fresh", ANSWER)
    answers.cache.put("t", "u", (1,), "old", ANSWER, age_s=290.0)
    assert answers.get("t", "u", (1,), "fresh") == answers.get("t", "u", (1,), "old") == ANSWER
    answers.clock.now += 10.0
    assert answers.get("t", "u", (1,), "old") is None


def test_an_answer_made_elsewhere_gains_no_time_from_a_newer_one():
    answers = Answers()
    answers.cache.put("t", "u", (1,), "old", ANSWER, age_s=290.0)
    answers.put("t", "u", (1,), "fresh", ANSWER)
    answers.clock.now += 10.0
    assert answers.get("t", "u", (1,), "old") is None


def test_an_answer_too_old_is_not_kept():
    answers = Answers()
    answers.cache.put("t", "u", (1,), "old", ANSWER, age_s=301.0)
    assert answers.get("t", "u", (1,), "old") is None


calls = st.lists(
    st.tuples(
        st.sampled_from(["get", "put", "drop", "borrow", "wait"]),
        st.sampled_from("uv"),
        st.integers(1, 3).map(lambda version: (version,)),
        st.sampled_from(["some", "others"]),
    )
)


@given(calls)
def test_an_answer_found_is_always_the_last_one_put_under_what_it_depends_on_and_in_time(
    sequence: list[tuple[str, str, tuple[int], str]],
):
    answers, newest = Answers(), dict[Any, dict[str, Any]]()
    for number, (call, *key) in enumerate(sequence):
        if call in ("put", "borrow"):
            age_s = 200.0 if call == "borrow" else 0.0
            made = {"made": number, "at": answers.clock.now - age_s}
            answers.cache.put("t", *key, made, age_s=age_s)  # type: ignore[arg-type]
            newest[tuple(key)] = made
        elif call == "drop":
            answers.drop_user("t", key[0])  # type: ignore[arg-type]
            newest = {kept: answer for kept, answer in newest.items() if kept[0] != key[0]}
        elif call == "wait":
            answers.clock.now += 75.0
        elif (found := answers.get("t", *key)) is not None:
            assert found == newest[tuple(key)]
            assert answers.clock.now - found["at"] < 300.0


# keys in Redis


def key_of(
    tenant: str = "t", user_id: str = "u", version: Any = (17, 0.5, None), params: Any = PARAMS
) -> str:
    return answer_key("recsvc:1", tenant, user_id, version, params)


def test_whatever_an_answer_depends_on_makes_another_key():
    keys = [
        key_of(),
        key_of(tenant="s"),
        key_of(user_id="v"),
        key_of(version=(18, 0.5, None)),
        key_of(version=(17, 0.25, None)),
        key_of(version=(17, 0.5, "None")),
        key_of(version=(17, 0.5)),
        key_of(version=("17", 0.5, None)),
        key_of(params=Rules()),
        key_of(params=replace(PARAMS, novelty=0.25)),
        key_of(params=replace(PARAMS, boosts=(Boost(1.5, filter=("brand=other",)),))),
        key_of(tenant="t', 'u", user_id=""),
    ]
    assert len(set(keys)) == len(keys)


def test_a_key_is_of_one_length_and_shows_no_user():
    assert {len(key_of(user_id="x" * n)) for n in (1, 128)} == {len("recsvc:1:answer:") + 40}
    assert "somebody" not in key_of(user_id="somebody")


def test_an_answer_has_the_same_key_in_another_process():
    script = "from test_answer_cache import key_of; print(key_of())"
    other = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "1234", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == key_of()


# opening


def test_the_settings_choose_the_cache():
    telemetry = Telemetry()
    assert isinstance(open_cache(load_settings(), telemetry), MemoryCache)
    shared = load_settings(cache_url="redis://127.0.0.1:1/0")
    assert isinstance(open_cache(shared, telemetry), RedisCache)


def test_there_is_no_cache_where_it_is_switched_off():
    for url in ("memory", "redis://127.0.0.1:1/0"):
        assert open_cache(load_settings(cache_enabled=False, cache_url=url), Telemetry()) is None
