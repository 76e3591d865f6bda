FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY indexer indexer
COPY recsvc recsvc
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir '.[local,parquet]'

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 recsvc && mkdir /data /secrets && chown recsvc /data /secrets
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH RECSVC_DATA_DIR=/data
USER recsvc
WORKDIR /data
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["recsvc"]
CMD ["serve"]
