"""The load generator of `recsvc bench` speaks to a service as it is started by default."""

from __future__ import annotations

import asyncio

from processes import Service, catalogue

from recsvc.bench.client import Connection


def test_a_service_without_keys_answers_the_load_generator(service: Service) -> None:
    async def ask() -> list[int]:
        connection = await Connection.open(service.port)
        stored = await connection.post_ok("/v1/items", catalogue())
        asked = [(await connection.get(path))[0] for path in ("/readyz", "/v1/items/i1")]
        connection.close()
        return [stored["stored"], *asked]

    service.start()
    assert asyncio.run(ask()) == [60, 200, 200]
