"""Cached answers: never older than what they depend on."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from indexer.settings import load_settings
from recsvc.cache import open_cache
from recsvc.cache.memory import AnswerCache

ANSWER = {"items": ["p1"]}


def cache() -> AnswerCache:
    return AnswerCache(ttl_s=300.0)


def test_an_answer_is_found_under_what_it_depends_on():
    answers = cache()
    answers.put("t", "u", 1, "params", ANSWER)
    assert answers.get("t", "u", 1, "params") == ANSWER


def test_another_version_is_never_found():
    answers = cache()
    answers.put("t", "u", 1, "params", ANSWER)
    assert answers.get("t", "u", 2, "params") is None
    assert answers.get("t", "u", 0, "params") is None


def test_a_new_version_replaces_all_answers_of_the_old_one():
    answers = cache()
    answers.put("t", "u", 1, "some", ANSWER)
    answers.put("t", "u", 2, "others", ANSWER)
    assert answers.get("t", "u", 1, "some") is None
    assert answers.get("t", "u", 2, "some") is None


def test_other_parameters_users_and_tenants_have_answers_of_their_own():
    answers = cache()
    answers.put("t", "u", 1, "params", ANSWER)
    assert answers.get("t", "u", 1, "other") is None
    assert answers.get("t", "v", 1, "params") is None
    assert answers.get("s", "u", 1, "params") is None


def test_dropping_a_user_forgets_that_users_answers_only():
    answers = cache()
    for user_id in ("u", "v"):
        answers.put("t", user_id, 1, "params", ANSWER)
    answers.drop_user("t", "u")
    assert answers.get("t", "u", 1, "params") is None
    assert answers.get("t", "v", 1, "params") == ANSWER


def test_dropping_an_unknown_user_is_no_error():
    answers = cache()
    answers.drop_user("t", "nobody")
    assert answers.get("t", "nobody", 1, "params") is None


def test_a_user_cannot_fill_the_cache():
    answers = cache()
    for params in range(1_000):
        answers.put("t", "u", 1, params, ANSWER)
    kept = [params for params in range(1_000) if answers.get("t", "u", 1, params)]
    assert 0 < len(kept) <= 32
    assert kept[-1] == 999


calls = st.lists(
    st.tuples(
        st.sampled_from(["get", "put", "drop"]),
        st.sampled_from("uv"),
        st.integers(1, 3),
        st.sampled_from(["some", "others"]),
    )
)


@given(calls)
def test_an_answer_found_is_always_the_last_one_put_under_what_it_depends_on(
    sequence: list[tuple[str, str, int, str]],
):
    answers, newest = cache(), dict[tuple[str, int, str], Any]()
    for number, (call, *key) in enumerate(sequence):
        if call == "put":
            answers.put("t", *key, {"made": number})
            newest[tuple(key)] = {"made": number}
        elif call == "drop":
            answers.drop_user("t", key[0])
            newest = {kept: answer for kept, answer in newest.items() if kept[0] != key[0]}
        else:
            found = answers.get("t", *key)
            assert found is None or found == newest[tuple(key)]


def test_the_cache_is_there_unless_it_is_switched_off():
    assert isinstance(open_cache(load_settings(cache_enabled=True)), AnswerCache)
    assert open_cache(load_settings(cache_enabled=False)) is None
