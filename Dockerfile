# The explorer with the suite that its wheel holds: docker build -t absorption-explorer --build-arg VERSION=1.2.3 .
# and docker run -p 5006:5006 absorption-explorer
# Other suites: docker run -v /srv/suites:/suites:ro absorption-explorer serve /suites/NAME (docs/deployment.md)

FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /app
COPY constraints.txt pyproject.toml README.md LICENSE absorption_explorer.py ./
COPY explorer explorer
COPY queries queries
COPY ingest ingest
COPY measure measure
COPY data/smollm2-135m-architectures data/smollm2-135m-architectures
# Without git, the version has to be given.
ARG VERSION
# The pinned versions, which were tested.
RUN SETUPTOOLS_SCM_PRETEND_VERSION=$VERSION /app/bin/pip install --no-cache-dir --no-compile -c constraints.txt '.[remote]'

FROM python:3.11-slim-bookworm
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH HOME=/ PYTHONDONTWRITEBYTECODE=1
# An arbitrary unprivileged user: nothing is written, so no account is needed.
USER 10001:10001
EXPOSE 5006
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://localhost:5006/healthz', timeout=4)"]
ENTRYPOINT ["absorption-explorer"]
CMD ["serve"]
