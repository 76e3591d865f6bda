"""Fields that an endpoint refuses are left out or renamed."""

from __future__ import annotations

import pytest

from indexer.provider.dialect import is_about, without


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("dimensions", "This model does not support specifying dimensions."),
        ("dimensions", "Unrecognized request argument supplied: dimensions"),
        ("dimensions", "dimensions: Extra inputs are not permitted"),
        ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model."),
        ("temperature", "'temperature' does not support 0.0, it is unsupported"),
    ],
)
def test_a_refusal_of_a_field_is_recognised(field: str, said: str):
    assert is_about(field, said)


@pytest.mark.parametrize(
    "said",
    [
        "the input 'kettle of large dimensions' is too long",
        "maximum context length is 8191 tokens",
        "Unsupported parameter: 'max_completion_tokens'",
    ],
)
def test_a_refusal_for_another_reason_is_not(said: str):
    assert not is_about("dimensions", said)
    assert not is_about("max_tokens", said)


def test_a_refused_field_is_left_out_or_goes_by_its_other_name():
    body = {"model": "m", "max_tokens": 800, "temperature": 0.0}
    assert without(body, set()) == body
    assert without(body, {"temperature"}) == {"model": "m", "max_tokens": 800}
    assert without(body, {"temperature", "max_tokens"}) == {
        "model": "m",
        "max_completion_tokens": 800,
    }
