"""What is made of a model's answer."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from profile_cases import weights_json

from indexer.errors import ProviderError
from indexer.profiling.parse import Draft, Vocabulary, claims_of, clean_text, read_answer, settle

TERMS = (
    "category=Books",
    "category=toys",
    "tags=space opera",
    "tags=new",
    "brand=new",
    "note=a: b",
)
VOCABULARY = Vocabulary(TERMS)
WORDS = {"books", "toys", "space", "opera", "new", "a", "b"}
IDS = {"e1": "event-1", "e2": "event-2"}


def draft_of(text: str) -> Draft:
    answer = read_answer(text)
    return settle(claims_of(answer), answer.get("summary"), VOCABULARY, IDS)


def weights_of(text: str) -> dict[str, float]:
    return dict(draft_of(text).weights)


def fault_of(text: str) -> str:
    with pytest.raises(ProviderError) as caught:
        draft_of(text)
    return caught.value.fault


OURS = weights_json(("category=Books", 0.8), ("tags=new", -0.4))


@pytest.mark.parametrize(
    "text",
    [
        OURS,
        json.dumps({"weights": {"category=Books": 0.8, "tags=new": -0.4}}),
        json.dumps({"preferences": [{"term": "category=Books", "weight": 0.8},
                                    {"feature": "tags", "value": "new", "weight": "-0.4"}]}),
        json.dumps({"category=Books": 0.8, "tags=new": -0.4, "summary": "reads"}),
        json.dumps({"category": {"Books": 0.8}, "tags": {"new": -0.4}}),
        json.dumps({"profile": {"category=Books": {"weight": 0.8, "evidence": ["e1"]},
                                "tags=new": {"weight": -0.4}}}),
        f"```json\n{OURS}\n```",
        f"Here is what I found:\n```\n{OURS}\n```\nAsk me anything!",
        f"Sure! {OURS} I hope this helps.",
        OURS[:-1] + ",}",
        OURS.replace('"', "'"),
        OURS.replace('"key"', "key"),
        OURS[:-len(', "summary": ""}')],
    ],
    ids=["ours", "flat inside", "other names", "flat", "nested", "objects", "fenced",
         "fenced in prose", "prose", "comma", "single quotes", "bare names", "cut off"],
)  # fmt: skip
def test_an_answer_is_read_in_whatever_form_it_comes(text: str):
    assert weights_of(text) == {"category=Books": 0.8, "tags=new": -0.4}


@pytest.mark.parametrize(
    "text",
    ["", "I cannot help with that.", "[1, 2]", "null", '"weights"', "{", "{}" * 9, "{" * 60_000,
     '{"a":' * 9_000, '{"a":' + "[" * 9_000, '{"' + "\\" * 60_000, "\x00", "\ud800{"],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(text: str):
    assert fault_of(text) in ("no_json", "no_weights")


@pytest.mark.parametrize(
    "weight",
    ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5_000, "9" * 400, '"high"', '""', "null",
     "true", "false", "[1]", "{}", '"NaN"', '"inf"'],
)  # fmt: skip
def test_a_weight_that_is_no_finite_number_is_dropped(weight: str):
    start = '{"weights": {"category=Books": ' + weight
    assert weights_of(start + ', "tags=new": 0.5}}') == {"tags=new": 0.5}
    assert fault_of(start + "}}") == "no_weights"


@pytest.mark.parametrize(
    ("weight", "kept"), [(5, 1.0), (-1e300, -1.0), (0.123456, 0.1235), ("0.5", 0.5), (1, 1.0)]
)
def test_weights_are_clamped_and_rounded(weight: object, kept: float):
    assert weights_of(weights_json(("category=Books", weight))) == {"category=Books": kept}


def test_a_weight_of_zero_says_nothing():
    assert weights_of(weights_json(("category=Books", 0), ("tags=new", 1))) == {"tags=new": 1.0}


@pytest.mark.parametrize(
    "key",
    ["category=Books", "category=books", "CATEGORY = BOOKS", "Category: Books", "category:books",
     " category=Books ", "Books", "books"],
)  # fmt: skip
def test_a_term_is_known_in_other_spellings_and_by_its_value_alone(key: str):
    assert weights_of(weights_json((key, 0.8))) == {"category=Books": 0.8}


def test_a_value_with_a_colon_is_found_again():
    assert weights_of(weights_json(("note=a: b", 0.8))) == {"note=a: b": 0.8}
    assert weights_of(weights_json(("a: b", 0.7))) == {"note=a: b": 0.7}


def test_a_value_that_two_features_have_is_a_phrase_and_not_one_of_them():
    assert weights_of(weights_json(("new", 0.4))) == {"new": 0.4}


@pytest.mark.parametrize(
    "key",
    ["category=weapons", "secret=Books", "password", "user ada", "category", "Books!", "<books>",
     "new books and toys", "books books books books books", "http://books", "books\nnew", "",
     "price=0", "__proto__", "category=Books; drop"],
)  # fmt: skip
def test_unknown_keys_are_dropped(key: str):
    assert weights_of(weights_json((key, 1.0), ("tags=new", 0.2))) == {"tags=new": 0.2}


def test_a_phrase_of_known_words_counts_half_at_most():
    assert weights_of(weights_json(("New  Toys", 1.0), ("opera books", -0.9))) == {
        "new toys": 0.5,
        "opera books": -0.5,
    }


def test_at_most_five_phrases_are_kept():
    phrases = [(f"new {word}", 0.4) for word in sorted(WORDS)]
    assert len(weights_of(weights_json(*phrases))) == 5


def test_at_most_twenty_weights_are_kept_the_strongest():
    vocabulary = Vocabulary(f"tags=t{n}" for n in range(50))
    answer = read_answer(weights_json(*((f"tags=t{n}", n / 50) for n in range(50))))
    kept = settle(claims_of(answer), "", vocabulary, {}).weights
    assert list(kept) == [f"tags=t{n}" for n in range(49, 29, -1)]


def test_of_a_flood_of_claims_the_first_are_looked_at():
    rows = [(f"unknown={n}", 1.0) for n in range(5_000)]
    assert fault_of(weights_json(*rows, ("category=Books", 1.0))) == "no_weights"


def test_of_a_term_named_twice_the_stronger_weight_is_kept():
    rows = ("category=Books", 0.2), ("books", -0.7)
    assert weights_of(weights_json(*rows)) == {"category=Books": -0.7}


def test_weights_are_listed_strongest_first():
    rows = ("tags=new", 0.2), ("category=toys", -0.9), ("category=Books", 0.5)
    assert list(weights_of(weights_json(*rows))) == ["category=toys", "category=Books", "tags=new"]


@pytest.mark.parametrize(
    "answer",
    [
        {"weights": [{"key": "books", "weight": 1, "evidence": ["e2", "e9", 3, "e2", "event-1"]}]},
        {"weights": {"books": {"weight": 1, "evidence": ["e2", None, "e77"]}}},
        {"weights": {"books": 1}, "evidence": {"books": ["e2", "e0"]}},
    ],
    ids=["ours", "objects", "aside"],
)
def test_evidence_ids_become_event_ids_and_invented_ones_vanish(answer: dict[str, object]):
    assert draft_of(json.dumps(answer)).evidence == {"category=Books": ("event-2",)}


def test_evidence_that_is_all_invented_is_none():
    entry = {"key": "books", "weight": 1, "evidence": ["e9"]}
    assert draft_of(json.dumps({"weights": [entry]})).evidence == {}
    assert draft_of(json.dumps({"weights": [{**entry, "evidence": "e1"}]})).evidence == {}


@pytest.mark.parametrize(
    ("summary", "kept"),
    [
        ("Reads  much.\nBuys\tnew toys.", "Reads much. Buys new toys."),
        ("\x1b[31mred\x00\u202e\u200b", "[31mred"),
        ("x" * 999, "x" * 300),
        (None, ""),
        (["a"], ""),
        (7, ""),
    ],
)
def test_a_summary_is_one_printable_line_of_bounded_length(summary: object, kept: str):
    assert draft_of(weights_json(("books", 1), summary=summary)).summary == kept


def test_a_fence_that_a_summary_quotes_is_not_the_answer():
    rows = '{"key": "books", "weight": 1}, {"key": "new", "weight": NaN}'
    summary = r'"bought ```{\"tags=new\": 1}```"'
    text = '{"weights": [' + rows + '], "summary": ' + summary + "}"
    assert weights_of(text) == {"category=Books": 1.0}


def test_half_a_surrogate_pair_is_no_key():
    text = '{"weights": {"category=\\ud800": 1, "tags=new": 0.5}}'
    assert [claim.key for claim in claims_of(read_answer(text))] == ["tags=new"]


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(TERMS),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from([*TERMS, "weights", "key", "weight", "evidence", "summary", "value"])
            | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)
answers = st.one_of(
    st.text(),
    st.text("{}[]\":,.-+eE0123456789\\/abn= \n`'"),
    anything.map(json.dumps),
    st.tuples(st.text(), anything.map(json.dumps), st.text()).map("".join),
    st.lists(
        st.tuples(st.sampled_from([*TERMS, "new toys", "Opera", "nothing"]), st.floats()),
        max_size=40,
    ).map(lambda rows: weights_json(*rows, summary="s")),
)


@given(answers, st.integers(0, 200))
@example("{" * 50_000, 0)
@example('{"weights":' * 5_000, 0)
@example('{"\\ud800": 1, "books": 1}', 0)
def test_whatever_a_model_says_only_a_lawful_profile_comes_of_it(text: str, cut: int):
    try:
        draft = draft_of(text[: len(text) - cut] if cut < len(text) else text)
    except ProviderError:
        return
    assert 0 < len(draft.weights) <= 20
    for key, weight in draft.weights.items():
        assert key in TERMS or (set(key.split()) <= WORDS and abs(weight) <= 0.5)
        assert math.isfinite(weight)
        assert 0.0 < abs(weight) <= 1.0
    assert all(set(ids) <= set(IDS.values()) for ids in draft.evidence.values())
    assert set(draft.evidence) <= set(draft.weights)
    assert draft.summary.isprintable()
    assert len(draft.summary) <= 300
    json.dumps(draft.weights).encode()


@given(st.text())
def test_cleaned_text_stays_clean(text: str):
    cleaned = clean_text(text, 50)
    assert cleaned.isprintable()
    assert len(cleaned) <= 50
    assert clean_text(cleaned, 50).strip() == cleaned.strip()
