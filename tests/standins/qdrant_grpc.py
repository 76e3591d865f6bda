"""gRPC beside the stand-in's REST: the same collections, by qdrant-client's own conversions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from qdrant_client import grpc as wire
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc.collections_service_pb2_grpc import (
    CollectionsServicer,
    add_CollectionsServicer_to_server,
)
from qdrant_client.grpc.points_service_pb2_grpc import PointsServicer, add_PointsServicer_to_server
from qdrant_client.grpc.qdrant_pb2_grpc import QdrantServicer, add_QdrantServicer_to_server
from qdrant_collections import Collections, Refused, refused

from indexer.errors import StoreError

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
}
_STOP_S = 0.1

Handler = Callable[[Any, Any, Any], Awaitable[Any]]


def _answering(call: Handler) -> Handler:
    """Make refusals statuses."""

    async def answer(self: Any, request: Any, context: Any) -> Any:
        try:
            return await call(self, request, context)
        except (Refused, StoreError, ValueError) as exc:
            said = exc if isinstance(exc, Refused) else refused(StoreError(str(exc)))
            return await context.abort(_CODES[said.status], said.reason)

    return answer


class Root(QdrantServicer):
    """Tells the version."""

    def __init__(self, title: str, version: str) -> None:
        self._told = {"title": title, "version": version}

    async def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802
        return wire.HealthCheckReply(**self._told)


class CollectionCalls(CollectionsServicer):
    """Collections and aliases."""

    def __init__(self, held: Collections) -> None:
        self._held = held

    @_answering
    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        info = await self._held.info(request.collection_name)
        return wire.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    @_answering
    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        named = [wire.CollectionDescription(name=name) for name in self._held.names()]
        return wire.ListCollectionsResponse(collections=named)

    @_answering
    async def CollectionExists(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = wire.CollectionExists(exists=self._held.exists(request.collection_name))
        return wire.CollectionExistsResponse(result=found)

    @_answering
    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        wanted = models.CreateCollection(
            vectors=GrpcToRest.convert_vectors_config(request.vectors_config),
            shard_number=_given(request, "shard_number"),
            replication_factor=_given(request, "replication_factor"),
            write_consistency_factor=_given(request, "write_consistency_factor"),
            on_disk_payload=_given(request, "on_disk_payload"),
            hnsw_config=_converted(request, "hnsw_config", GrpcToRest.convert_hnsw_config_diff),
            quantization_config=_converted(
                request, "quantization_config", GrpcToRest.convert_quantization_config
            ),
            sparse_vectors=_converted(
                request, "sparse_vectors_config", GrpcToRest.convert_sparse_vector_config
            ),
        )
        made = await self._held.create(request.collection_name, wanted)
        return wire.CollectionOperationResponse(result=made)

    @_answering
    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        gone = await self._held.delete(request.collection_name)
        return wire.CollectionOperationResponse(result=gone)

    @_answering
    async def UpdateAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        actions = [GrpcToRest.convert_alias_operations(action) for action in request.actions]
        return wire.CollectionOperationResponse(result=self._held.change_aliases(actions))

    @_answering
    async def ListAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._listed(None)

    @_answering
    async def ListCollectionAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._listed(request.collection_name)

    def _listed(self, of: str | None) -> Any:
        found = [RestToGrpc.convert_alias_description(one) for one in self._held.list_aliases(of)]
        return wire.ListAliasesResponse(aliases=found)


class PointCalls(PointsServicer):
    """Points."""

    def __init__(self, held: Collections) -> None:
        self._held = held

    @_answering
    async def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        where = _converted(request, "update_filter", GrpcToRest.convert_filter)
        await self._held.upsert(request.collection_name, points, where)
        return _done()

    @_answering
    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        selected = GrpcToRest.convert_points_selector(request.points)
        await self._held.delete_points(request.collection_name, list(selected.points))
        return _done()

    @_answering
    async def CreateFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind = wire.FieldType.Name(request.field_type).removeprefix("FieldType").lower()
        await self._held.index(request.collection_name, request.field_name, kind)
        return _done()

    @_answering
    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = await self._held.store.retrieve(
            self._held.own_name(request.collection_name),
            [GrpcToRest.convert_point_id(point_id) for point_id in request.ids],
            with_payload=_payload(request, True),
            with_vectors=_vectors(request),
        )
        return wire.GetResponse(result=[_record(record) for record in found])

    @_answering
    async def Query(self, request: Any, context: Any) -> Any:  # noqa: N802
        hits = await self._held.query(
            request.collection_name,
            _converted(request, "query", GrpcToRest.convert_query),
            using=request.using or None,
            prefetch=[GrpcToRest.convert_prefetch_query(one) for one in request.prefetch] or None,
            query_filter=_converted(request, "filter", GrpcToRest.convert_filter),
            search_params=_converted(request, "params", GrpcToRest.convert_search_params),
            limit=request.limit if request.HasField("limit") else 10,
            offset=request.offset,
            with_payload=_payload(request, False),
        )
        points = [
            models.ScoredPoint(id=hit.id, version=0, score=hit.score, payload=dict(hit.payload))
            for hit in hits
        ]
        return wire.QueryResponse(result=[RestToGrpc.convert_scored_point(one) for one in points])

    @_answering
    async def Scroll(self, request: Any, context: Any) -> Any:  # noqa: N802
        found, following = await self._held.store.scroll(
            self._held.own_name(request.collection_name),
            _converted(request, "filter", GrpcToRest.convert_filter),
            limit=request.limit if request.HasField("limit") else 10,
            offset=_converted(request, "offset", GrpcToRest.convert_point_id),
            with_payload=_payload(request, True),
            with_vectors=_vectors(request),
        )
        offset = None if following is None else RestToGrpc.convert_extended_point_id(following)
        records = [_record(record) for record in found]
        return wire.ScrollResponse(next_page_offset=offset, result=records)

    @_answering
    async def Count(self, request: Any, context: Any) -> Any:  # noqa: N802
        own = self._held.own_name(request.collection_name)
        which = _converted(request, "filter", GrpcToRest.convert_filter)
        counted = wire.CountResult(count=await self._held.store.count(own, which))
        return wire.CountResponse(result=counted)


@asynccontextmanager
async def serving(held: Collections, address: str, title: str, version: str) -> AsyncIterator[int]:
    """Serve gRPC for the length of the block, on the port that is given to it."""
    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    )
    add_QdrantServicer_to_server(Root(title, version), server)
    add_CollectionsServicer_to_server(CollectionCalls(held), server)
    add_PointsServicer_to_server(PointCalls(held), server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(_STOP_S)


def _done() -> Any:
    return wire.PointsOperationResponse(
        result=wire.UpdateResult(operation_id=0, status=wire.UpdateStatus.Completed)
    )


def _given(request: Any, field: str) -> Any:
    return getattr(request, field) if request.HasField(field) else None


def _converted(request: Any, field: str, convert: Callable[[Any], Any]) -> Any:
    given = _given(request, field)
    return None if given is None else convert(given)


def _payload(request: Any, default: bool) -> Any:
    wanted = _converted(request, "with_payload", GrpcToRest.convert_with_payload_selector)
    if isinstance(wanted, models.PayloadSelectorInclude):
        return wanted.include
    return default if wanted is None else wanted


def _vectors(request: Any) -> Any:
    wanted = _converted(request, "with_vectors", GrpcToRest.convert_with_vectors_selector)
    return False if wanted is None else wanted


def _record(record: models.Record) -> Any:
    vectors: Any = record.vector
    if isinstance(vectors, dict):
        vectors = {name: _vector(vector) for name, vector in vectors.items()}
    converted = models.Record.model_construct(
        id=record.id, payload=record.payload or {}, vector=vectors or None
    )
    return RestToGrpc.convert_record(converted)


def _vector(vector: Any) -> Any:
    if isinstance(vector, list):
        return vector
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))
