"""Which replies to an embedding request are taken, and what is wrong with the others."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import InputRefused, ProviderUnavailable
from indexer.provider.vectors import TEXT_FAULTS, numbers_of, read_vectors

DIM = 3
MODEL = "text-embedding-3-small"
GOOD = [1.0, 2.0, 2.0]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["index", "embedding", "data", "model"]), inner)
    ),
    max_leaves=12,
)


def packed(numbers: list[float], kind: str = "<f4") -> str:
    return base64.b64encode(np.asarray(numbers, dtype=kind).tobytes()).decode()


def rows(*embeddings: object) -> list[dict[str, Any]]:
    return [{"index": n, "embedding": one} for n, one in enumerate(embeddings)]


def read(*embeddings: object) -> list[Any]:
    return read_vectors({"data": rows(*embeddings)}, len(embeddings), DIM, MODEL)


def outcome(reply: dict[str, Any], texts: int) -> list[Any] | ProviderUnavailable:
    """The vectors as lists (what is said of a broken row), or in which words there are none."""
    try:
        found = read_vectors(reply, texts, DIM, MODEL)
        return [one if isinstance(one, InputRefused) else one.tolist() for one in found]
    except ProviderUnavailable as exc:
        return exc


def refusal(reply: dict[str, Any], texts: int) -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as caught:
        read_vectors(reply, texts, DIM, MODEL)
    return caught.value


def verdict(reply: dict[str, Any], texts: int) -> tuple[str, bool]:
    """The name of what is wrong, and whether it is worth trying again at once."""
    exc = refusal(reply, texts)
    return exc.fault, exc.again


# Taken


@pytest.mark.parametrize("sent", [GOOD, packed(GOOD), [1, 2, 2]], ids=["floats", "base64", "ints"])
def test_floats_and_base64_make_the_same_unit_vector(sent: object):
    (vector,) = read_vectors({"data": rows(sent)}, 1, DIM, MODEL)
    assert vector == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert vector.dtype == np.float32
    assert vector.shape == (DIM,)


def test_no_texts_are_no_vectors():
    assert outcome({"data": []}, 0) == []


@given(st.permutations(range(6)))
def test_rows_in_another_order_are_put_in_that_of_the_request(order: list[int]):
    sent = [[float(n + 1), 0.0, 1.0] for n in range(6)]
    shuffled = [rows(*sent)[n] for n in order]
    found = read_vectors({"data": shuffled}, 6, DIM, MODEL)
    assert np.array_equal(found, read_vectors({"data": rows(*sent)}, 6, DIM, MODEL))


def test_rows_without_an_index_are_in_the_order_of_the_request():
    data = [{"embedding": [0.0, 0.0, 5.0]}, {"embedding": [0.0, 5.0, 0.0]}]
    found = read_vectors({"data": data}, 2, DIM, MODEL)
    assert [vector.tolist() for vector in found] == [[0, 0, 1], [0, 1, 0]]


@given(st.lists(st.floats(-1e30, 1e30), min_size=DIM, max_size=DIM))
def test_what_is_taken_is_finite_and_of_length_one(numbers: list[float]):
    found = outcome({"data": rows(numbers)}, 1)
    if isinstance(found, ProviderUnavailable):
        assert found.fault == "zero_vector"
        assert math.hypot(*numbers) < 1e-11
    else:
        assert math.hypot(*found[0]) == pytest.approx(1.0, abs=1e-5)


# The rows as a whole


@pytest.mark.parametrize("data", [None, {}, "x", 3, {"0": GOOD}])
def test_a_reply_without_a_list_is_tried_again(data: object):
    assert verdict({"data": data}, 1) == ("no_data", True)


def test_a_reply_without_data_is_tried_again():
    assert verdict({}, 1) == ("no_data", True)


@pytest.mark.parametrize(("sent", "fault"), [(0, "missing_rows"), (1, "missing_rows"),
                                             (3, "extra_rows"), (2_000, "extra_rows")])  # fmt: skip
def test_another_number_of_rows_is_tried_again(sent: int, fault: str):
    reply = {"data": rows(*[GOOD] * sent)}
    assert verdict(reply, 2) == (fault, True)
    assert f"{sent} rows for 2 texts" in str(refusal(reply, 2))


@pytest.mark.parametrize("index", [1, 2, -1, 10**30, "0", 0.0, None, True, False, [0], {}])
def test_an_index_that_is_doubled_or_none_is_tried_again(index: object):
    data = [{"index": 1, "embedding": GOOD}, {"index": index, "embedding": GOOD}]
    assert verdict({"data": data}, 2) == ("bad_index", True)


@pytest.mark.parametrize("row", [None, 1, "row", [GOOD], GOOD])
def test_a_row_that_is_no_object_is_tried_again(row: object):
    assert verdict({"data": [row]}, 1) == ("bad_index", True)


# One row


@pytest.mark.parametrize(
    "numbers",
    [[1.0], [1.0] * 2, [1.0] * 4, [1.0] * 1536, packed([1.0] * 2), packed(GOOD, "<f8"), [], ""],
)
def test_another_dimension_is_not_tried_again(numbers: object):
    assert verdict({"data": rows(numbers)}, 1) == ("wrong_dimension", False)
    assert verdict({"data": rows(GOOD, numbers)}, 2) == ("wrong_dimension", False)


def test_another_dimension_is_named_with_the_one_wanted():
    said = str(refusal({"data": rows(GOOD, [1.0] * 4)}, 2))
    assert said == "the provider's row 1 has 4 dimensions, the settings want 3"


BAD = [
    ([1.0, math.nan, 0.0], "not_finite"),
    ([1.0, math.inf, 0.0], "not_finite"),
    ([1.0, -math.inf, 0.0], "not_finite"),
    ([1.0, 1e39, 0.0], "not_finite"),
    ([1.0, None, 0.0], "not_finite"),
    (packed([1.0, math.nan, 0.0]), "not_finite"),
    (packed([math.inf, 1.0, 0.0]), "not_finite"),
    ([0.0, 0.0, 0.0], "zero_vector"),
    ([1e-20, 0.0, 0.0], "zero_vector"),
    (packed([0.0, 0.0, 0.0]), "zero_vector"),
    (packed([-0.0, 0.0, -0.0]), "zero_vector"),
    (None, "no_vector"),
    (3.0, "no_vector"),
    (True, "no_vector"),
    ({"0": 1.0}, "no_vector"),
    ("no base64", "no_vector"),
    ("é", "no_vector"),
    ("AAA", "no_vector"),
    (packed(GOOD)[:-3] + "A==", "no_vector"),
    (packed(GOOD)[:4] + "\n" + packed(GOOD)[4:], "no_vector"),
    (["a", "b", "c"], "no_vector"),
    ([{}, {}, {}], "no_vector"),
    ([[1.0], [2.0, 3.0], []], "no_vector"),
    ([[1.0], [2.0], [3.0]], "no_vector"),
    ([10**400, 1, 1], "no_vector"),
]


@pytest.mark.parametrize(("numbers", "fault"), BAD)
def test_a_broken_row_leaves_the_others_be_and_is_tried_again_where_all_are(
    numbers: object, fault: str
):
    assert fault in TEXT_FAULTS
    good, bad = read(GOOD, numbers)
    assert isinstance(good, np.ndarray)
    assert isinstance(bad, InputRefused)
    assert bad.fault == fault
    assert verdict({"data": rows(numbers)}, 1) == (fault, True)
    assert verdict({"data": rows(numbers, numbers)}, 2) == (f"all_{fault}", True)


@pytest.mark.parametrize("numbers", [numbers for numbers, _ in BAD])
def test_a_broken_row_is_named_by_its_number(numbers: object):
    assert "the provider's row 1" in str(read(GOOD, numbers)[1])


@pytest.mark.parametrize("numbers", [GOOD, packed(GOOD)])
def test_the_numbers_of_an_embedding_are_read_as_they_were_sent(numbers: object):
    assert list(numbers_of(numbers)) == GOOD


# The model's name


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (MODEL, MODEL),
        (MODEL, MODEL.upper()),
        (MODEL, f"openai/{MODEL}"),
        (MODEL, f"{MODEL}-2024-01-25"),
        (MODEL, f"azure/eu/{MODEL}@20240125"),
        (f"openai/{MODEL}", MODEL),
        (f"{MODEL}-2024-01-25", MODEL),
        ("nomic-embed-text", "nomic-embed-text:latest"),
        ("BAAI/bge-m3", "/models/BAAI/bge-m3/"),
        (MODEL, ""),
        (MODEL, None),
        (MODEL, 3),
    ],
)
def test_a_makers_name_a_tag_or_a_date_makes_no_other_model(asked: str, answered: object):
    assert len(read_vectors({"data": rows(GOOD), "model": answered}, 1, DIM, asked)) == 1


@pytest.mark.parametrize(
    "answered",
    ["text-embedding-3-large", "text-embedding-3", f"{MODEL}-v2", f"{MODEL}:q4", "x" * 1_000, " "],
)
def test_another_model_is_not_tried_again_and_named_in_short(answered: str):
    exc = refusal({"data": rows(GOOD), "model": answered}, 1)
    assert (exc.fault, exc.again) == ("wrong_model", False)
    assert repr(answered[:80]) in str(exc)
    assert MODEL in str(exc)
    assert len(str(exc)) < 200


# Anything


@given(st.dictionaries(st.sampled_from(["data", "model"]), anything), st.integers(0, 3))
def test_no_reply_breaks_anything(reply: dict[str, Any], texts: int):
    found = outcome(reply, texts)
    if isinstance(found, ProviderUnavailable):
        assert found.fault != "unavailable"
        assert len(str(found)) < 500
    else:
        assert len(found) == texts


@given(st.lists(st.lists(anything, max_size=4) | st.text(max_size=20), max_size=3))
def test_no_row_breaks_anything(embeddings: list[object]):
    found = outcome({"data": rows(*embeddings)}, len(embeddings))
    if isinstance(found, ProviderUnavailable):
        assert found.fault.removeprefix("all_") in TEXT_FAULTS | {"wrong_dimension"}
    else:
        vectors = [one for one in found if not isinstance(one, InputRefused)]
        assert all(math.hypot(*vector) == pytest.approx(1.0, abs=1e-5) for vector in vectors)
