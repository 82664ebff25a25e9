# CRM Graph with its GraphiQL page. Build: docker build -t crm-graph .

FROM node:22-slim AS web
WORKDIR /src
COPY web web
COPY scripts/build-web scripts/build-web
RUN scripts/build-web

FROM python:3.13-slim AS build
RUN python -m venv /opt/crm-graph
ENV PATH=/opt/crm-graph/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements-tracing.txt .
RUN pip install --require-hashes --requirement requirements-tracing.txt
COPY pyproject.toml README.md LICENSE ./
COPY crm_graph crm_graph
COPY loaders loaders
COPY schema schema
COPY --from=web /src/crm_graph/static crm_graph/static
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . && pip install --no-deps /wheel/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home crm
COPY --from=build /opt/crm-graph /opt/crm-graph
ENV PATH=/opt/crm-graph/bin:$PATH PYTHONUNBUFFERED=1
USER crm
EXPOSE 8000
# Liveness only. Load balancers check /readyz.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["crm-graph", "serve", "--host", "0.0.0.0", "--port", "8000"]
