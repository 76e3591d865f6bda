"""A wrong setting stops the start with exit code 2 and one line that says what is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import free_port, run

_SHOWN = {'{"Like": 1}': "Like", '{"like": NaN}': "like", "price:integer": "integer"}
"""The part of a value that is wrong, where a value has several."""


def _refused(data_dir: Path, *more: str, **settings: str) -> str:
    command = ("recsvc", "serve", "--port", str(free_port()), *more)
    done = run(*command, data_dir=data_dir, **settings)
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("variable", "value", "accepted"),
    [
        ("RECSVC_QDRANT_URL", "postgres://db", "edge, memory, http(s)://"),
        ("RECSVC_EVENT_LOG_URL", "carrier-pigeon", "sqlite"),
        ("RECSVC_CACHE_URL", "disk", "memory"),
        ("RECSVC_EMBEDDING_DIM", "many", "integer"),
        ("RECSVC_EMBEDDING_DIM", "4", "8"),
        ("RECSVC_PROFILE_WEIGHT", "1.5", "1"),
        ("RECSVC_PROFILE_WEIGHT", "nan", "1"),
        ("RECSVC_BATCH_SIZE", "0", "1"),
        ("RECSVC_CACHE_ENABLED", "perhaps", "bool"),
        ("RECSVC_OFFLINE_EMBEDDER", "magic", "hashed"),
        ("RECSVC_PROVIDER_BASE_URL", "ftp://host", "http(s)://"),
        ("OPENAI_BASE_URL", "nonsense", "http(s)://"),
        ("RECSVC_EVENT_WEIGHTS", "not json", "JSON"),
        ("RECSVC_EVENT_WEIGHTS", '{"Like": 1}', "lower-case"),
        ("RECSVC_EVENT_WEIGHTS", '{"like": NaN}', "100"),
        ("RECSVC_FILTER_KEYS", "price:integer", "number"),
        ("RECSVC_FILTER_KEYS_MAX", "1000000", "256"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_what_is_accepted(
    data_dir: Path, variable: str, value: str, accepted: str
) -> None:
    line = _refused(data_dir, **{variable: value})
    assert variable in line
    assert _SHOWN.get(value, value) in line
    assert accepted in line
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("RECSVC_EMBEDDING_MODEL", "my-model", ("my-model", "RECSVC_PRICES", "unknown")),
        ("RECSVC_PROFILE_MODEL", "my-llm", ("my-llm", "profile", "RECSVC_PRICES")),
        ("RECSVC_PRICES", '{"x": -1}', ("RECSVC_PRICES, x: -1", "dollars per million")),
        ("RECSVC_MODELS_FILE", "nowhere.toml", ("RECSVC_MODELS_FILE", "nowhere.toml")),
        ("RECSVC_BUDGET_DAY_USD", "-1", ("RECSVC_BUDGET_DAY_USD", "-1", "0")),
        ("RECSVC_PROVIDER_API_KEY", "two words", ("RECSVC_PROVIDER_API_KEY=***", "one word")),
    ],
)
def test_what_a_provider_lacks_is_told_before_anything_is_made(
    data_dir: Path, variable: str, value: str, told: tuple[str, ...]
) -> None:
    provider = {"RECSVC_PROVIDER_BASE_URL": "http://127.0.0.1:9/v1"}
    line = _refused(data_dir, **provider, **{variable: value})
    for part in told:
        assert part in line
    assert not data_dir.exists()


def test_a_secret_of_a_wrong_setting_is_never_shown(data_dir: Path) -> None:
    line = _refused(data_dir, RECSVC_PROVIDER_API_KEY="sk-very-secret", RECSVC_EMBEDDING_DIM="many")
    assert "sk-very-secret" not in line


def test_half_lives_in_the_wrong_order_are_named_with_their_values(data_dir: Path) -> None:
    line = _refused(data_dir, RECSVC_HALF_LIFE_SHORT_S="500", RECSVC_HALF_LIFE_LONG_S="400")
    for part in ("RECSVC_HALF_LIFE_SHORT_S", "RECSVC_HALF_LIFE_LONG_S", "500", "400"):
        assert part in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.invalid"])
def test_an_address_beyond_this_machine_needs_keys(data_dir: Path, host: str) -> None:
    line = _refused(data_dir, "--host", host)
    assert host in line
    assert "RECSVC_API_KEYS_FILE" in line


def test_a_file_of_keys_that_is_none_is_refused(data_dir: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text("this is not toml")
    assert "RECSVC_API_KEYS_FILE" in _refused(data_dir, RECSVC_API_KEYS_FILE=str(keys))


def test_a_wrong_option_is_wrong_usage(data_dir: Path) -> None:
    for command in (
        ("recsvc", "serve", "--port", "many"),
        ("recsvc", "dance"),
        ("indexer", "sing"),
    ):
        assert run(*command, data_dir=data_dir).returncode == 2


def test_a_value_of_the_env_file_is_read_and_checked(data_dir: Path) -> None:
    (data_dir.parent / ".env").write_text("RECSVC_BATCH_SIZE=0\n")
    assert "RECSVC_BATCH_SIZE" in _refused(data_dir)


@pytest.mark.parametrize(
    "command",
    [
        ("recsvc",),
        ("recsvc", "serve"),
        ("recsvc", "keys", "create"),
        ("indexer", "load"),
        ("indexer", "run"),
        ("indexer", "replay"),
        ("indexer", "dead-letters", "list"),
    ],
)
def test_every_command_has_help(data_dir: Path, command: tuple[str, ...]) -> None:
    done = run(*command, "--help", data_dir=data_dir)
    assert done.returncode == 0
    assert "Usage" in done.stdout
