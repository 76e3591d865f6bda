"""Budgets a day: warns at 80 %, and at 100 % lets no call begin."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from indexer.errors import BudgetSpent
from indexer.provider.choices import Purpose
from indexer.provider.ledger import Ledger
from indexer.telemetry import Telemetry

__all__ = ["Budget", "BudgetState"]

_log = logging.getLogger(__name__)

_WARN_AT: Final = 0.8
_ALL: Final = ("", "")
_LLM: Final[tuple[Purpose, ...]] = ("profile", "summary")

BudgetState = Literal["none", "ok", "warning", "spent"]


class Budget:
    """Dollars a day for model calls, in all and for one user.

    A call reserves what it may cost before it is sent, so that calls under way together do not
    overrun. Embeddings count, and are stopped, only with ``embeddings``.
    """

    def __init__(
        self,
        ledger: Ledger,
        telemetry: Telemetry,
        *,
        day_usd: float | None,
        user_day_usd: float | None,
        embeddings: bool,
    ) -> None:
        self._ledger, self._telemetry = ledger, telemetry
        self.day_usd, self.user_day_usd = day_usd, user_day_usd
        self._purposes: tuple[Purpose, ...] = ("embedding", *_LLM) if embeddings else _LLM
        self._reserved = 0.0
        self._reserved_by: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._told: tuple[str, BudgetState] = ("", "ok")  # day, state
        self._stopped: dict[tuple[str, str], str] = {}  # who (nobody: all) to the day

    def state(self, tenant: str = "", user_id: str = "") -> BudgetState:
        """Tell how the day's budget stands, or that of a user where it is worse."""
        if self.day_usd is None and self.user_day_usd is None:
            return "none"
        if self._was_stopped(_ALL) or self._was_stopped((tenant, user_id)):
            return "spent"
        shares = [self._share(self.spent(), self.day_usd)]
        if user_id:
            by = self._ledger.spent_by_today(tenant, user_id)
            shares.append(self._share(by, self.user_day_usd))
        worst = max(shares)
        return "spent" if worst >= 1.0 else "warning" if worst >= _WARN_AT else "ok"

    def spent(self) -> float:
        """Return the dollars that count against today's budget."""
        return self._ledger.spent_today(self._purposes)

    @contextmanager
    def reserving(
        self, purpose: Purpose, cost_usd: float, tenant: str, user_id: str
    ) -> Iterator[None]:
        """Hold ``cost_usd`` back while a call that may cost it is under way.

        Raises:
            BudgetSpent: it would overrun the day's budget or the user's.
        """
        if purpose not in self._purposes:
            yield
            return
        who = (tenant, user_id)
        self._check(cost_usd, who)
        self._stopped.pop(_ALL, None)
        self._stopped.pop(who, None)
        self._reserved += cost_usd
        self._reserved_by[who] += cost_usd
        try:
            yield
        finally:
            self._reserved -= cost_usd
            self._reserved_by[who] -= cost_usd
            if self._reserved_by[who] <= 1e-12:
                del self._reserved_by[who]
            self._tell()

    def _check(self, cost_usd: float, who: tuple[str, str]) -> None:
        if self.day_usd is not None and self.spent() + self._reserved + cost_usd > self.day_usd:
            self._stop(_ALL, "day")
            self._tell()
            raise BudgetSpent(f"today's budget of ${self.day_usd:g} for model calls is spent")
        if self.user_day_usd is not None and who[1]:
            by = self._ledger.spent_by_today(*who) + self._reserved_by.get(who, 0.0)
            if by + cost_usd > self.user_day_usd:
                self._stop(who, "user")
                raise BudgetSpent(
                    f"today's budget of ${self.user_day_usd:g} for this user's model calls is spent"
                )

    def _stop(self, who: tuple[str, str], label: str) -> None:
        self._telemetry.count("budget_stops", label)
        day = self._ledger.day
        self._stopped = {key: at for key, at in self._stopped.items() if at == day}
        self._stopped[who] = day

    def _was_stopped(self, who: tuple[str, str]) -> bool:
        return bool(self._stopped) and self._stopped.get(who) == self._ledger.day

    def _tell(self) -> None:
        state = self.state()
        told = (self._ledger.day, state)
        if state in ("warning", "spent") and told != self._told:
            _log.warning(
                "budget %s: $%.4f of $%g spent today", state, self.spent(), self.day_usd or 0.0
            )
            self._telemetry.count("budget_warnings", state)
        self._told = told

    @staticmethod
    def _share(spent: float, budget: float | None) -> float:
        return 0.0 if budget is None else spent / budget if budget > 0.0 else 1.0
