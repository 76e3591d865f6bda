"""Reads what a model answered, trusting nothing in it. Pure.

An answer can add a preference, never a word: its keys are terms of the catalogue or of the user's
own events, or short phrases whose every word is a value there. Titles and queries, which anyone
can write, lend no words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from json_repair import repair_json

from indexer.errors import ProviderError

__all__ = ["Claim", "Draft", "Vocabulary", "claims_of", "clean_text", "read_answer", "settle"]

SUMMARY_MAX: Final = 300
_WEIGHTS_MAX: Final = 20
_CLAIMS_MAX: Final = 200
_REPAIRED_MAX, _OPENED_MAX = 16_000, 1_000
_KEY_MAX: Final = 128
_PHRASE_WORDS_MAX, _PHRASE_MAX, _PHRASES_MAX = 4, 40, 5
_PHRASE_WEIGHT_MAX: Final = 0.5
_EVIDENCE_MAX: Final = 10

_WORD = re.compile(r"\w+")
_PHRASE = re.compile(r"\w[\w' -]*")
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_NAMES: Final = ("weights", "preferences", "preference_weights", "profile", "interests")
_ASIDE: Final = {"summary", "evidence", "explanation", "reasoning", "confidence"}


@dataclass(frozen=True, slots=True)
class Claim:
    """One preference that a model claims; ``evidence``: ids as in the prompt."""

    key: str
    weight: float
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What is left of an answer: weights in [-1, 1], strongest first, and one line of text."""

    weights: Mapping[str, float]
    summary: str = ""
    evidence: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Vocabulary:
    """The ``feature=value`` terms that may be used, and the words that their values have."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms: dict[str, str] = {}
        self._by_value: dict[str, list[str]] = {}
        self._words: set[str] = set()
        for term in terms:
            value = term.partition("=")[2]
            self._terms[_plain(term)] = term
            self._by_value.setdefault(_plain(value), []).append(term)
            self._words.update(_WORD.findall(value.casefold()))

    def term(self, key: str) -> str | None:
        """Return the term that ``key`` means, however it is written; a value may stand alone."""
        plain = _plain(key)
        if plain in self._terms:
            return self._terms[plain]
        having = self._by_value.get(plain, [])
        return having[0] if len(having) == 1 else None

    def phrase(self, key: str) -> str | None:
        """Return ``key`` as a phrase, where it is a short one of known words."""
        words = _WORD.findall(key.casefold())
        short = 0 < len(words) <= _PHRASE_WORDS_MAX and len(key) <= _PHRASE_MAX
        if short and _PHRASE.fullmatch(key) and self._words.issuperset(words):
            return " ".join(key.casefold().split())
        return None


def read_answer(text: str) -> Mapping[str, Any]:
    """Return the JSON object in an answer: bare, fenced, with prose around it, or a little broken.

    Raises:
        ProviderError: there is none.
    """
    text = _THOUGHT.sub("", text)
    begin = max(0, text.find("{"))
    fenced = _FENCE.search(text)
    quoted = fenced is not None and fenced.start() > begin  # within the object, in its summary
    inner = fenced.group(1) if fenced is not None and not quoted else text[begin:]
    for candidate in (text, inner):
        try:
            loaded = orjson.loads(candidate)
        except orjson.JSONDecodeError:
            continue
        if isinstance(loaded, dict):
            return loaded
    if "{" in inner:
        repaired = _repaired(inner[:_REPAIRED_MAX])
        if isinstance(repaired, dict) and repaired:
            return repaired
    raise ProviderError("the model's answer is no JSON object", fault="no_json")


def claims_of(answer: Mapping[str, Any]) -> list[Claim]:
    """List the preferences in an answer: ours, or a flat or nested object of weights."""
    named = next((answer[name] for name in _NAMES if answer.get(name)), None)
    if isinstance(named, list):
        found = [claim for entry in named for claim in _entry(entry)]
    else:
        found = list(_flat(named if isinstance(named, Mapping) else answer))
    evidence = answer.get("evidence")
    if isinstance(evidence, Mapping):
        found = [Claim(c.key, c.weight, c.evidence or _ids(evidence.get(c.key))) for c in found]
    return [claim for claim in found if _encodable(claim.key)][:_CLAIMS_MAX]


def settle(
    claims: Sequence[Claim],
    summary: object,
    vocabulary: Vocabulary,
    event_ids: Mapping[str, str],
) -> Draft:
    """Keep what is allowed: known keys, finite weights clamped to [-1, 1], real event ids.

    Raises:
        ProviderError: nothing is left.
    """
    weights: dict[str, float] = {}
    evidence: dict[str, tuple[str, ...]] = {}
    phrases = 0
    for claim in sorted(claims, key=lambda claim: -abs(claim.weight)):
        key, most = vocabulary.term(claim.key), 1.0
        if key is None and phrases < _PHRASES_MAX:
            key, most = vocabulary.phrase(claim.key), _PHRASE_WEIGHT_MAX
            phrases += key is not None
        weight = round(max(-most, min(most, claim.weight)), 4)
        if key is None or key in weights or weight == 0.0:
            continue
        weights[key] = weight
        shown = dict.fromkeys(event_ids[e] for e in claim.evidence if e in event_ids)
        if shown:
            evidence[key] = tuple(shown)[:_EVIDENCE_MAX]
        if len(weights) == _WEIGHTS_MAX:
            break
    if not weights:
        raise ProviderError("the model's answer has no weight that can be used", fault="no_weights")
    ordered = dict(sorted(weights.items(), key=lambda pair: (-abs(pair[1]), pair[0])))
    return Draft(ordered, clean_text(summary, SUMMARY_MAX), evidence)


def clean_text(text: object, most: int) -> str:
    """Return model output as one printable line of at most ``most`` characters."""
    if not isinstance(text, str):
        return ""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:most]


def _repaired(text: str) -> object:
    if text.count("{") + text.count("[") > _OPENED_MAX:
        return None  # the time to repair grows with the square of the depth
    try:
        return repair_json(text, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError):  # nested too deeply
        return None


def _encodable(text: str) -> bool:
    """Whether a text is one: half of a surrogate pair, which JSON can spell, is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _entry(entry: object) -> Iterator[Claim]:
    if not isinstance(entry, Mapping):
        return
    key = next((entry[n] for n in ("key", "term", "feature", "name") if entry.get(n)), None)
    if isinstance(key, str) and "value" in entry and "=" not in key:
        key = f"{key}={entry['value']}"
    weight = _weight(entry.get("weight"))
    if isinstance(key, str) and weight is not None:
        yield Claim(key[:_KEY_MAX], weight, _ids(entry.get("evidence")))


def _flat(weights: Mapping[Any, Any]) -> Iterator[Claim]:
    for key, value in weights.items():
        if not isinstance(key, str) or key in _ASIDE:
            continue
        if isinstance(value, Mapping):
            inner = _weight(value.get("weight"))
            if inner is not None:
                yield Claim(key[:_KEY_MAX], inner, _ids(value.get("evidence")))
                continue
            for name, weight in value.items():
                number = _weight(weight)
                if isinstance(name, str) and number is not None:
                    yield Claim(f"{key}={name}"[:_KEY_MAX], number)
        elif (number := _weight(value)) is not None:
            yield Claim(key[:_KEY_MAX], number)


def _weight(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _ids(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _plain(term: str) -> str:
    """Fold case, spacing and the usual other ways of writing ``feature=value``."""
    name, sign, value = re.sub(r"\s*[=:]\s*", "=", term, count=1).partition("=")
    return " ".join((name + sign + value).casefold().split())
