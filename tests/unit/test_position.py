"""Places in a log of several partitions."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from indexer.domain.position import (
    log_key,
    partition_of,
    position_of,
    read_position,
    show_position,
)

positions = st.dictionaries(st.integers(0, 1023), st.integers(0, 2**62), min_size=1, max_size=20)


@given(positions)
def test_a_position_that_was_shown_is_read_back(position: dict[int, int]):
    assert read_position(show_position(position)) == position


def test_a_position_of_a_log_of_one_partition_is_a_number():
    assert show_position({0: 17}) == "17"
    assert show_position({}) == "0"
    assert read_position("17") == {0: 17}


def test_a_position_of_several_partitions_names_each():
    assert show_position({5: 77, 3: 1234}) == "3:1234.5:77"


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.", "1:", ":1", "1:2:3", "1,2", "²", "9" * 20, "0x1", " 1"]
)
def test_what_was_never_a_position_is_refused(text: str):
    with pytest.raises(ValueError, match="is not a position that we gave"):
        read_position(text)


def test_the_newest_offset_of_each_partition_counts():
    assert position_of([(0, 3), (1, 9), (0, 2), (1, 10)]) == {0: 3, 1: 10}
    assert position_of([]) == {}


@given(st.text(alphabet="abcXYZ019_.:@-", min_size=1, max_size=40), st.integers(2, 64))
def test_a_key_is_in_the_partition_that_clients_of_kafka_put_it_in(name: str, partitions: int):
    every = list(range(partitions))
    theirs = DefaultPartitioner()(log_key("default", name).encode(), every, every)
    assert partition_of("default", name, partitions) == theirs


def test_tenants_have_keys_of_their_own():
    assert log_key("default", "ada") == "ada"
    assert log_key("acme", "ada") == "acme/ada"


def test_a_log_of_one_partition_has_everything_in_it():
    assert partition_of("acme", "ada", 1) == 0
