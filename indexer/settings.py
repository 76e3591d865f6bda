"""Settings: one frozen object, read from ``RECSVC_*`` variables and ``.env``."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from indexer.domain.events import DEFAULT_WEIGHTS
from indexer.domain.fold import FoldRules
from indexer.domain.items import FilterKind
from indexer.domain.neighbours import NeighbourRules
from indexer.errors import SettingsError

__all__ = ["DAY_S", "Settings", "load_settings", "unknown_variables"]

PREFIX: Final = "RECSVC_"
DAY_S: Final = 86_400.0
_HTTP_URL = r"https?://[^\s/:,]+(:[^\s/:@]*@[^\s/:,]+)?(:\d+)?(/[^\s,]*)?"
_REDIS_URL = r"rediss?://([^\s/@]*@)?[^\s/:@]+(:\d+)?(/\d+)?"
_KAFKA_URL = r"kafka://[^\s/:,@]+:\d+(,[^\s/:,@]+:\d+)*"
_ALIASES: Final = {
    "RECSVC_PROVIDER_BASE_URL": ("HOLYSHEEP_BASE_URL", "OPENAI_BASE_URL"),
    "RECSVC_PROVIDER_API_KEY": ("HOLYSHEEP_API_KEY", "OPENAI_API_KEY"),
}
_EXAMPLES: Final = {
    "event_weights": '{"view": 0.5}',
    "prices": '{"my-model": [0.28, 0.42]}',
}
_HOST = r"(?=.*[A-Za-z])[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?"
_ORIGIN = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?)(?::([0-9]{1,5}))?/?"
)
_ORIGIN_PORTS: Final = {"http": 80, "https": 443}
_PASSWORD = re.compile(r"//[^/@\s]*@")
_OUTSIDE = {"RECSVC_API_KEY", "RECSVC_TEST_QDRANT_URL"}


def _one_of_urls(*patterns: str, accepted: str) -> AfterValidator:
    def check(value: str) -> str:
        if not any(re.fullmatch(pattern, value) for pattern in patterns):
            raise ValueError(f"accepted: {accepted}")
        return value

    return AfterValidator(check)


def _read_from(variable: str) -> AliasChoices:
    return AliasChoices(variable, *_ALIASES[variable])


class Settings(BaseSettings):
    """Every setting; each outside part is chosen by one URL."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    data_dir: Path = Field(Path("./data"), description="Where the embedded parts keep their state.")
    qdrant_url: Annotated[
        str,
        _one_of_urls(
            "edge",
            "memory",
            rf"{_HTTP_URL}(,{_HTTP_URL})*",
            accepted="edge, memory, http(s)://host:6333, or several of these by comma",
        ),
    ] = Field(
        "edge",
        description="`edge`: Qdrant Edge, in process, in the data directory. `memory`: "
        "qdrant-client's local mode, nothing kept. `http(s)://host:6333`: a Qdrant server; several "
        "by comma: nodes of one cluster, each asked when those before it do not answer.",
    )
    qdrant_api_key: SecretStr | None = Field(None, description="Sent to the Qdrant server.")
    qdrant_grpc_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="Use gRPC on this port of the Qdrant server; unset: REST."
    )
    qdrant_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = Field(
        "", description="Put before the names of collections, where a server is shared."
    )
    qdrant_size: Literal["100k", "1m", "10m", "100m"] = Field(
        "100k",
        description="How many items a server is to be set up for: chooses graph, quantisation "
        "and what is on disk when collections are made. See docs/capacity.md.",
    )
    qdrant_shards: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Shards of each collection that is made; unset: the server's default."
    )
    qdrant_replication: Annotated[int, Field(ge=1, le=10)] = Field(
        1, description="Copies of each shard of collections that are made."
    )
    qdrant_write_consistency: Annotated[int, Field(ge=1, le=10)] = Field(
        1, description="Copies that must have a write before it counts as done."
    )
    qdrant_read_consistency: Literal["one", "majority", "quorum", "all"] = Field(
        "one", description="Copies that a read asks."
    )
    event_log_url: Annotated[
        str,
        _one_of_urls(
            "sqlite",
            _REDIS_URL,
            _KAFKA_URL,
            accepted="sqlite, redis(s)://host:6379/0, kafka://host:9092,host2:9092",
        ),
    ] = Field(
        "sqlite",
        description="`sqlite`: in the data directory. `redis://host:6379/0`: Redis Streams. "
        "`kafka://host:9092,host2:9092`: Kafka. The latter two are shared by any number of "
        "processes.",
    )
    event_log_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = Field(
        "recsvc", description="What topics, streams and the consumer group are named after."
    )
    event_log_partitions: Annotated[int, Field(ge=1, le=1024)] = Field(
        16,
        description="Partitions of a shared log: the most workers that can share the work. Fixed "
        "when the log is made, and checked.",
    )
    event_log_keep_s: Annotated[float, Field(ge=60)] = Field(
        7 * DAY_S,
        description="How long a shared log keeps events that are folded, in seconds; what is not "
        "folded is always kept by Redis Streams. Kafka: retention of topics that are made.",
    )
    event_log_session_s: Annotated[float, Field(ge=1, le=300)] = Field(
        10.0, description="A worker not heard of for so long loses its partitions, in seconds."
    )
    kafka_replication: Annotated[int, Field(ge=1, le=10)] = Field(
        1, description="Copies of each partition of topics that are made."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How brokers are spoken to."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="How the user name is proven, with a SASL protocol."
    )
    kafka_username: str | None = Field(None, description="With a SASL protocol.")
    kafka_password: SecretStr | None = Field(None, description="With a SASL protocol.")
    kafka_ca_file: Path | None = Field(
        None, description="PEM of the authorities that brokers are trusted by; unset: the system's."
    )
    cache_url: Annotated[
        str, _one_of_urls("memory", _REDIS_URL, accepted="memory, redis(s)://host:6379/0")
    ] = Field(
        "memory",
        description="`memory`: in this process. `redis://host:6379/0`: shared by processes; also "
        "carries notices of changed users between them.",
    )
    cache_ttl_s: Annotated[float, Field(gt=0)] = Field(
        300.0, description="The longest a cached answer is served, in seconds."
    )
    cache_enabled: bool = Field(True, description="Whether answers are cached at all.")
    provider_base_url: (
        Annotated[str, _one_of_urls(_HTTP_URL, accepted="http(s)://host/v1")] | None
    ) = Field(
        None,
        validation_alias=_read_from("RECSVC_PROVIDER_BASE_URL"),
        description="Any OpenAI-compatible base URL; unset: the offline embedder. Also read "
        "from `HOLYSHEEP_BASE_URL` and `OPENAI_BASE_URL`.",
    )
    provider_api_key: SecretStr | None = Field(
        None,
        validation_alias=_read_from("RECSVC_PROVIDER_API_KEY"),
        description="Sent to the provider. Also read from `HOLYSHEEP_API_KEY` and "
        "`OPENAI_API_KEY`.",
    )
    provider_api_key_file: Path | None = Field(
        None,
        description="A file with the key, or with JSON `{api_key, expires_at}`; read again on 401 "
        "and before the key ends.",
    )
    provider_api_key_command: str | None = Field(
        None,
        description="A command that prints the key (or such JSON), within the time that a request "
        "may take; run without a shell, again on 401 and before the key ends.",
    )
    provider_timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(
        5.0, description="Time that one request to a provider may take, in seconds."
    )
    provider_deadline_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        20.0, description="Time that a call may take with all its retries and waits, in seconds."
    )
    provider_chat_timeout_s: Annotated[float, Field(gt=0, le=600)] | None = Field(
        None,
        description="Time that one chat completion may take; unset: what "
        "`RECSVC_PROVIDER_TIMEOUT_S` is set to, else 30.",
    )
    provider_max_retries: Annotated[int, Field(ge=0, le=10)] = Field(
        3, description="Further tries of a provider call that may succeed later."
    )
    provider_concurrency: Annotated[int, Field(ge=1, le=100)] = Field(
        10, description="Provider calls under way at once; fewer while it answers 429."
    )
    provider_requests_per_minute: Annotated[float, Field(ge=1)] | None = Field(
        None, description="Requests a minute to a provider; unset: no limit of ours."
    )
    provider_tokens_per_minute: Annotated[float, Field(ge=1)] | None = Field(
        None, description="Tokens a minute sent to a provider; unset: no limit of ours."
    )
    provider_batch_max: Annotated[int, Field(ge=1, le=2048)] = Field(
        256, description="Texts in one embedding request."
    )
    provider_batch_tokens: Annotated[int, Field(ge=1)] = Field(
        100_000, description="Tokens in one embedding request, about."
    )
    models_file: Path | None = Field(
        None,
        description="TOML table of providers, and of models by purpose with failover and prices; "
        "takes the place of the single provider above. See docs/providers.md.",
    )
    prices: Annotated[Mapping[str, Any], NoDecode] = Field(
        default_factory=dict,
        description="JSON object of model to `[in, out]`, dollars per million tokens, or "
        '`"unknown"`; added to the built-in list. A model without a price is refused.',
    )
    budget_day_usd: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="Dollars a day (UTC) for LLM calls; then the offline profiler takes over.",
    )
    budget_user_day_usd: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Dollars a day for LLM calls about one user."
    )
    budget_stops_embeddings: bool = Field(
        False, description="Whether embeddings count against the day's budget, and stop with it."
    )
    embedding_model: str = Field(
        "text-embedding-3-small", min_length=1, description="Asked of the provider by name."
    )
    embedding_dim: Annotated[int, Field(ge=8, le=4096)] = Field(
        1536, description="Dimension of every vector; checked against replies and collections."
    )
    offline_embedder: Literal["auto", "wordllama", "hashed"] = Field(
        "auto",
        description="What embeds without a provider. `auto`: wordllama where it is installed "
        "(the extra `local`), else hashed n-grams.",
    )
    profile_model: str = Field(
        "deepseek-v3.2",
        min_length=1,
        description="Makes the profiles, asked of the provider by name. `counter`: no model, "
        "profiles are counted.",
    )
    summary_model: str | None = Field(
        None, description="Summarises older events; unset: the profile's model."
    )
    profile_events: Annotated[int, Field(ge=1)] = Field(
        10, description="New events after which the model is asked for a user's profile again."
    )
    profile_interval_s: Annotated[float, Field(ge=0)] = Field(
        600.0, description="... or this long after a new event, in seconds."
    )
    profile_min_interval_s: Annotated[float, Field(ge=0)] = Field(
        15.0, description="The least time between two such calls for one user, in seconds."
    )
    profile_concurrency: Annotated[int, Field(ge=1, le=100)] = Field(
        4, description="Users whose profile is asked for at once."
    )
    half_life_profile_s: Annotated[float, Field(gt=0)] = Field(
        30 * DAY_S, description="Half-life of the profile's share in the blend, in seconds."
    )
    profile_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        0.3, description="Share of the profile in the blend; a request can override it."
    )
    short_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Share of the short-term taste in the taste, right after an event."
    )
    half_life_long_s: Annotated[float, Field(gt=0)] = Field(
        30 * DAY_S, description="Half-life of the long-term taste, in seconds."
    )
    half_life_short_s: Annotated[float, Field(gt=0)] = Field(
        DAY_S, description="Half-life of the short-term taste, in seconds."
    )
    half_life_popularity_s: Annotated[float, Field(gt=0)] = Field(
        7 * DAY_S, description="Half-life of an event's part in an item's popularity, in seconds."
    )
    half_life_hot_s: Annotated[float, Field(gt=0)] = Field(
        DAY_S, description="Half-life of its part in what is hot at the moment, in seconds."
    )
    half_life_trend_s: Annotated[float, Field(gt=0)] = Field(
        7 * DAY_S,
        description="Half-life of what goes together lately, in seconds; what goes together at "
        "any time is kept beside it.",
    )
    visit_s: Annotated[float, Field(gt=0)] = Field(
        1800.0, description="A visit goes on until this long after an event, in seconds."
    )
    learn_every: Annotated[int, Field(ge=0)] = Field(
        32,
        description="The ranking learns from one event in this many; from every second one that "
        "begins a visit, and from every fourth until it has learned 200 times. 0: never.",
    )
    calibration: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="How strictly a list keeps to the shares of a user's interests, as far as "
        "likeness made it; 0: not at all.",
    )
    exploration: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.1, description="Share of a stranger's list that is not the most popular."
    )
    rules_file: Path | None = Field(
        None,
        description="TOML of business rules: boosts, pins, caps, hidden items and weights; read "
        "again when it changes. See docs/ranking.md.",
    )
    event_weights: Annotated[Mapping[str, float], NoDecode] = Field(
        default_factory=dict,
        validate_default=True,
        description="JSON object of event type to weight, added to the defaults; 0 counts "
        "nothing, below 0 counts against.",
    )
    seen_max: Annotated[int, Field(ge=0, le=5000)] = Field(
        500, description="Items a user has touched that `exclude_seen` remembers, newest first."
    )
    batch_size: Annotated[int, Field(ge=1, le=1000)] = Field(
        100, description="Events folded in one micro-batch at the most."
    )
    flush_interval_s: Annotated[float, Field(ge=0, le=5)] = Field(
        0.0,
        description="How long a micro-batch may wait to fill; 0: as soon as the one before is "
        "done.",
    )
    queue_max: Annotated[int, Field(ge=1)] = Field(
        20_000, description="Events waiting for the log's disk; beyond it, 503."
    )
    text_features: Annotated[frozenset[str], NoDecode] = Field(
        frozenset({"title", "name", "description", "summary", "image", "url"}),
        description="Comma-separated features that are free text: embedded, never filtered or "
        "profiled by.",
    )
    filter_keys: Annotated[Mapping[str, FilterKind], NoDecode] = Field(
        default_factory=dict,
        description="Comma-separated `feature:kind` (`keyword`, `number`, `bool`) to index "
        "beforehand; others are learned from the catalogue.",
    )
    filter_keys_max: Annotated[int, Field(ge=1, le=256)] = Field(
        32, description="Features that are learned as filterable, at the most."
    )
    api_keys_file: Path | None = Field(
        None,
        description="TOML of hashed keys, each with scopes and a tenant; unset: open, and then "
        "only on a loopback address.",
    )
    allowed_origins: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        description="Comma-separated `http(s)://host[:port]`, such as `https://shop.example`: "
        "whose pages may send events, read lists and open live connections, beside the service's "
        "own; without API keys also the hosts that it answers under, beside localhost.",
    )

    webhook_retry_s: Annotated[float, Field(ge=0, le=30 * DAY_S)] = Field(
        3 * DAY_S,
        description="How long a webhook delivery is tried, in seconds, with pauses from a second "
        "to an hour; then it is a dead letter. See docs/webhooks.md.",
    )
    webhook_timeout_s: Annotated[float, Field(gt=0, le=120)] = Field(
        10.0, description="Time that an endpoint has to answer one delivery, in seconds."
    )
    webhook_concurrency: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="Requests under way at once to one webhook."
    )
    webhook_interval_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        1.0,
        description="The least time between two lists of one user to one webhook, in seconds; the "
        "newest stands for those in between.",
    )
    webhook_allow_private: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        description="Which addresses that are not public webhooks may be sent to: `false` or "
        "empty, none; `true`, all; else comma-separated networks (`10.1.0.0/16`), addresses and "
        "host names.",
    )

    @field_validator("webhook_allow_private", mode="before")
    @classmethod
    def _read_allowed(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        known = {"false": frozenset[str](), "true": frozenset({"0.0.0.0/0", "::/0"})}
        if (said := value.strip().lower()) in known:
            return known[said]
        return frozenset(_parts(value))

    @field_validator("webhook_allow_private", mode="after")
    @classmethod
    def _check_allowed(cls, value: frozenset[str]) -> frozenset[str]:
        for entry in value:
            if not _is_network(entry) and not re.fullmatch(_HOST, entry):
                raise ValueError(
                    f"{entry}: false, true, networks such as 10.1.0.0/16, addresses and host "
                    "names are accepted"
                )
        return value

    @field_validator("text_features", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return frozenset(_parts(value)) if isinstance(value, str) else value

    @field_validator("allowed_origins", mode="after")
    @classmethod
    def _as_browsers_write_them(cls, value: frozenset[str]) -> frozenset[str]:
        return frozenset(map(_origin, value))

    @field_validator("filter_keys", mode="before")
    @classmethod
    def _split_pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return {name: kind for name, _, kind in (part.partition(":") for part in _parts(value))}

    @field_validator("event_weights", "prices", mode="before")
    @classmethod
    def _read_object(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as exc:
            example = _EXAMPLES[str(info.field_name)]
            raise ValueError(f"a JSON object is accepted, such as {example}") from exc

    @field_validator("provider_api_key", "qdrant_api_key", mode="before")
    @classmethod
    def _strip(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value

    @field_validator("event_weights", mode="after")
    @classmethod
    def _with_defaults(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        for name, weight in value.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) or not abs(weight) <= 100:
                raise ValueError(f"{name}: {weight}; a lower-case name and -100 to 100 is accepted")
        return {**DEFAULT_WEIGHTS, **value}

    @model_validator(mode="after")
    def _half_lives_in_order(self) -> Settings:
        if self.half_life_short_s > self.half_life_long_s:
            raise ValueError(
                f"RECSVC_HALF_LIFE_SHORT_S={self.half_life_short_s:.0f} must not exceed "
                f"RECSVC_HALF_LIFE_LONG_S={self.half_life_long_s:.0f}"
            )
        return self

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> Settings:
        wanted = self.kafka_security_protocol.startswith("SASL")
        if wanted and (self.kafka_username is None or self.kafka_password is None):
            raise ValueError(
                f"RECSVC_KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs "
                "RECSVC_KAFKA_USERNAME and RECSVC_KAFKA_PASSWORD"
            )
        return self

    @property
    def shared(self) -> bool:
        """Whether several processes can work on the same log and store."""
        embedded = self.qdrant_url in ("edge", "memory") or self.event_log_url == "sqlite"
        return not embedded

    @property
    def neighbour_rules(self) -> NeighbourRules:
        """The constants of counting what goes together."""
        return NeighbourRules(half_life_recent_s=self.half_life_trend_s)

    @property
    def fold_rules(self) -> FoldRules:
        """The constants of the fold."""
        return FoldRules(
            weights=self.event_weights,
            half_life_long_s=self.half_life_long_s,
            half_life_short_s=self.half_life_short_s,
            seen_max=self.seen_max,
        )


def load_settings(**given: Any) -> Settings:
    """Read the settings; ``given`` overrides the environment.

    Raises:
        SettingsError: one line a wrong value, with the variable, the value (secrets masked) and
            what is accepted.
    """
    try:
        return Settings(**given)
    except ValidationError as exc:
        lines = [_line(error["loc"], error["msg"], error.get("input")) for error in exc.errors()]
        raise SettingsError("; ".join(lines)) from exc
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def unknown_variables() -> list[str]:
    """List ``RECSVC_*`` variables that are no setting: most likely misspelt ones."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields} | _OUTSIDE
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _origin(text: str) -> str:
    """Return an origin as browsers write it; raises ValueError where it is none."""
    found = _ORIGIN.fullmatch(text.lower())
    if found is None or not (_is_host(found[2]) and 0 < int(found[4] or 1) < 65_536):
        raise ValueError(
            f"{text}: http(s)://host or http(s)://host:port is accepted, such as "
            "https://shop.example; no path, no *"
        )
    scheme, host, port = found[1], found[2], found[4]
    if port is None or int(port) == _ORIGIN_PORTS[scheme]:
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"


def _is_host(text: str) -> bool:
    return not text.startswith("[") or (":" in text and _is_network(text[1:-1]))


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _line(loc: tuple[str | int, ...], message: str, value: object) -> str:
    message = message.removeprefix("Value error, ")
    if not loc:
        return message
    name = str(loc[0]).upper()
    variable = name if name.startswith(PREFIX) else PREFIX + name
    if variable not in os.environ:
        variable = next((a for a in _ALIASES.get(variable, ()) if a in os.environ), variable)
    shown = "***" if variable.endswith("_API_KEY") else _PASSWORD.sub("//***@", repr(value))
    return f"{variable}={shown}: {message}"
