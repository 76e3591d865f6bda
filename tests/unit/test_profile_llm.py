"""How a model is asked over a user's life: what is told again, summarised, and believed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from profile_cases import Document, FakeChat, told, weights_json

from indexer.domain.profile import Evidence, Memory
from indexer.errors import InputRefused, ProviderError
from indexer.profiling.llm import LlmProfile, LlmProfiler

pytestmark = pytest.mark.anyio

USER = ("t", "u")
WINDOW = 50
SECRET = "SECRET-OUTPUT"


async def nothing_occurs(terms: set[str]) -> set[str]:
    return set()


def likes_books(document: Document) -> str:
    return weights_json(("category=books", 0.9), summary=SECRET)


def notes(document: Document) -> str:
    return f"Notes on {len(document['events'])} events."


def events(count: int, first: int = 0) -> list[Evidence]:
    return [told(n, "category=books", title=f"Title {n}") for n in range(first, first + count)]


def titles(document: Document) -> list[str]:
    return [event["item"]["title"] for event in document["events"]]


class Life:
    """A user whose events come little by little and who is asked about now and then."""

    def __init__(
        self,
        profile: Callable[[Document], str] = likes_books,
        summary: Callable[[Document], str] = notes,
        tokens: int = 32_000,
    ) -> None:
        self.profile, self.summary = FakeChat(profile, tokens), FakeChat(summary, tokens)
        self.profiler = LlmProfiler(self.profile, self.summary)
        self.memory = Memory()

    async def ask(self, evidence: Sequence[Evidence]) -> LlmProfile:
        self.memory, _ = await self.profiler.remember(USER, evidence, self.memory, 0.0)
        return await self.profiler.weigh(USER, evidence, self.memory, nothing_occurs, 0.0)


async def test_a_short_history_is_told_in_detail_without_a_summary():
    life = Life()
    made = await life.ask(events(20))
    assert made.draft.weights == {"category=books": 0.9}
    assert (made.model, made.cost_usd) == ("fake", 0.001)
    assert titles(life.profile.asked[0]) == [f"Title {n}" for n in range(20)]
    assert life.summary.asked == []
    assert life.memory == Memory()


async def test_of_a_longer_history_the_older_part_is_summarised_first():
    life = Life()
    await life.ask(events(30))
    assert titles(life.summary.asked[0]) == [f"Title {n}" for n in range(20)]
    assert titles(life.profile.asked[0]) == [f"Title {n}" for n in range(20, 30)]
    assert life.profile.asked[0]["earlier"] == "Notes on 20 events."


async def test_a_summary_is_used_again_until_there_is_more_to_summarise():
    life = Life()
    await life.ask(events(30))
    await life.ask(events(40))
    assert len(life.summary.asked) == 1
    assert titles(life.profile.asked[1]) == [f"Title {n}" for n in range(20, 40)]
    await life.ask(events(41))
    assert life.summary.asked[1]["earlier"] == "Notes on 20 events."
    assert titles(life.summary.asked[1]) == [f"Title {n}" for n in range(20, 31)]


async def test_over_two_hundred_events_none_is_told_more_than_a_few_times():
    life, whole = Life(), events(200)
    for end in range(10, 201, 10):
        await life.ask(whole[max(0, end - WINDOW) : end])
    sent = Counter(t for document in life.profile.asked for t in titles(document))
    summarised = Counter(t for document in life.summary.asked for t in titles(document))
    assert max(sent.values()) <= 2
    assert max(summarised.values()) == 1
    assert set(sent) == {f"Title {n}" for n in range(200)}
    assert max(len(document["events"]) for document in life.profile.asked) <= 20
    assert len(life.profile.asked) + len(life.summary.asked) <= 32


async def test_a_summary_is_one_line_of_bounded_length_and_knows_only_the_window():
    life = Life(summary=lambda document: "blah\nblah\x00 " * 5_000)
    for end in range(25, 200, 25):
        await life.ask(events(min(end, WINDOW), first=max(0, end - WINDOW)))
    assert len(life.memory.summary) <= 800
    assert life.memory.summary.isprintable()
    assert len(life.memory.event_ids) <= WINDOW


async def test_prompts_do_not_grow_with_the_history():
    life, whole = Life(), events(200)
    for end in range(10, 201, 10):
        await life.ask(whole[max(0, end - WINDOW) : end])
    assert max(life.profile.sizes) <= max(life.profile.sizes[:4]) * 1.1


async def test_of_what_the_model_said_only_the_summary_is_told_again():
    life = Life(profile=lambda document: weights_json(("books", 0.123456789), summary=SECRET))
    for end in (10, 20, 30, 40, 50):
        await life.ask(events(end))
    for document in life.profile.asked + life.summary.asked:
        assert SECRET not in json.dumps(document)
        assert "0.1234" not in json.dumps(document)
        assert set(document) <= {"events", "earlier"}


async def test_an_event_that_comes_late_is_told_though_older_ones_are_summarised():
    life = Life()
    await life.ask(events(30, first=1))
    await life.ask([told(0, "category=books", title="late"), *events(30, first=1)])
    assert titles(life.profile.asked[1])[0] == "late"


async def test_weights_are_asked_for_in_a_schema_and_notes_are_not():
    life = Life()
    await life.ask(events(30))
    assert life.profile.schemas[0] is not None
    assert life.summary.schemas == [None]


def too_long_beyond(most: int, answer: Callable[[Document], str]) -> Callable[[Document], str]:
    def limited(document: Document) -> str:
        if len(document["events"]) > most:
            raise InputRefused("maximum context length is exceeded", too_long=True)
        return answer(document)

    return limited


async def test_a_prompt_that_is_too_long_for_the_model_is_halved_keeping_the_newest():
    life = Life(profile=too_long_beyond(6, likes_books))
    made = await life.ask(events(20))
    assert [len(document["events"]) for document in life.profile.asked] == [20, 10, 5]
    assert titles(life.profile.asked[-1]) == [f"Title {n}" for n in range(15, 20)]
    assert made.draft.weights == {"category=books": 0.9}


async def test_a_summary_that_is_too_long_is_halved_too():
    life = Life(summary=too_long_beyond(6, notes))
    await life.ask(events(30))
    assert [len(document["events"]) for document in life.summary.asked] == [20, 10, 5]
    assert life.profile.asked[0]["earlier"] == "Notes on 5 events."


async def test_when_even_one_event_is_too_long_it_is_given_up():
    life = Life(profile=too_long_beyond(0, likes_books))
    with pytest.raises(InputRefused):
        await life.ask(events(3))
    assert [len(document["events"]) for document in life.profile.asked] == [3, 1]


async def test_evidence_refers_to_the_events_that_were_told_after_halving():
    answer = {"weights": [{"key": "books", "weight": 1, "evidence": ["e1", "e9"]}]}
    life = Life(profile=too_long_beyond(2, lambda document: json.dumps(answer)))
    made = await life.ask(events(4))
    assert made.draft.evidence == {"category=books": ("event-2",)}


async def test_a_prompt_is_cut_to_a_small_model_beforehand():
    life = Life(tokens=1_500)
    await life.ask(events(20))
    [size] = life.profile.sizes
    assert size <= 700
    assert 1 <= len(life.profile.asked[0]["events"]) < 20
    assert titles(life.profile.asked[0])[-1] == "Title 19"


async def test_a_refusal_for_another_reason_is_not_answered_with_a_shorter_prompt():
    def refuse(document: Document) -> str:
        raise InputRefused("content policy")

    life = Life(profile=refuse)
    with pytest.raises(InputRefused):
        await life.ask(events(20))
    assert len(life.profile.asked) == 1


async def test_a_term_of_the_catalogue_may_be_used_though_no_event_has_it():
    asked: list[set[str]] = []

    async def occurring(terms: set[str]) -> set[str]:
        asked.append(terms)
        return terms & {"category=toys"}

    answer = weights_json(("category=toys", 0.5), ("category=arms", 1.0), ("category=books", 0.2))
    profiler = LlmProfiler(FakeChat(lambda document: answer), FakeChat(notes))
    made = await profiler.weigh(USER, events(3), Memory(), occurring, 0.0)
    assert made.draft.weights == {"category=toys": 0.5, "category=books": 0.2}
    assert asked == [{"category=toys", "category=arms"}]


async def test_titles_and_searches_lend_no_words():
    answer = weights_json(("machine gun", 1.0), ("secret wish", 1.0), ("books", 0.5))
    found = [*events(2), told(2, title="machine gun"), told(3, query="secret wish")]
    made = await Life(profile=lambda document: answer).ask(found)
    assert made.draft.weights == {"category=books": 0.5}


async def test_an_answer_without_use_is_an_error_of_the_provider():
    for text in ("I would rather not.", weights_json(("category=arms", 1.0)), "{}"):
        with pytest.raises(ProviderError):
            await Life(profile=lambda document, text=text: text).ask(events(3))
