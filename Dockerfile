# One image, three commands: dashboard, api, pipeline. docs/operations.md says how it is run.
#
# A tag moves. To build the same image again, name what it points to today, as your registry tells it:
#   docker buildx imagetools inspect python:3.12-slim-bookworm
#   docker build --build-arg PYTHON=python:3.12-slim-bookworm@sha256:DIGEST --tag signoff .
ARG PYTHON=python:3.12-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /opt/signoff
# The pins without the project, so that this layer lasts until a pin changes. Wheels only: nothing is compiled.
COPY requirements.txt ./
RUN python -m venv .venv \
    && tail -n +2 requirements.txt > pins.txt \
    && .venv/bin/pip install --no-cache-dir --only-binary :all: --requirement pins.txt
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY dashboard dashboard
# Editable: params.yaml and var/ lie beside the code. The libraries' own tests are a tenth of the image.
RUN .venv/bin/pip install --no-cache-dir --no-deps --editable . \
    && .venv/bin/python -m compileall -q pipeline dashboard \
    && .venv/bin/pip uninstall --yes pip \
    && find .venv -type d -name tests -prune -exec rm -r {} + \
    && rm pins.txt \
    && mkdir var

FROM ${PYTHON}
LABEL org.opencontainers.image.title="Signoff" \
      org.opencontainers.image.description="A review desk for an MLflow Model Registry" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/signoff
# The root file system may be read-only: what is written goes to var/ and /tmp. A number has no name of its own, so
# LOGNAME is who decides where SIGNOFF_ACTOR is not set.
ENV PATH="/opt/signoff/.venv/bin:${PATH}" \
    HOME=/tmp \
    LOGNAME=signoff \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    GIT_PYTHON_REFRESH=quiet
COPY --from=build /opt/signoff ./
COPY .streamlit .streamlit
COPY params.yaml ./
COPY --chmod=755 docker/start docker/start
COPY --from=build --chown=10001:10001 /opt/signoff/var var
USER 10001:10001
VOLUME ["/opt/signoff/var"]
EXPOSE 8501 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s CMD ["/opt/signoff/docker/start", "health"]
ENTRYPOINT ["/opt/signoff/docker/start"]
CMD ["dashboard"]
