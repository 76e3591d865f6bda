# One image for all processes, as commands:
#   recsvc serve --host 0.0.0.0 --port 8000              API and indexer in one; what is run by default
#   recsvc serve --host 0.0.0.0 --port 8000 --role api   an API
#   indexer run --host 0.0.0.0 --port 9100               a worker
FROM python:3.13.15-slim-bookworm AS build
# A compiler for the few packages without a wheel for this machine; it stays in this stage.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY indexer indexer
COPY recsvc recsvc
# The cache of pip makes a build after a change of the code take seconds.
# hadolint ignore=DL3042
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --wheel-dir /wheels '.[local,kafka,redis,parquet]'

FROM python:3.13.15-slim-bookworm
LABEL org.opencontainers.image.title="recsvc" \
      org.opencontainers.image.description="Real-time recommendations: every event is in the next answer." \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-SA-4.0"
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl \
    && groupadd --gid 10001 recsvc \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data recsvc \
    && install -d -m 0700 -o 10001 -g 10001 /data /secrets
# HEALTH_URL is what the check below asks; a worker serves it on its own port.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RECSVC_DATA_DIR=/data \
    HEALTH_URL=http://127.0.0.1:8000/healthz
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000 9100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(os.environ['HEALTH_URL'], timeout=4)"]
CMD ["recsvc", "serve", "--host", "0.0.0.0", "--port", "8000"]
