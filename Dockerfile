# One image for every role: `serve`, `worker`, `beat`, `migrate`. Configuration comes in STRONGROOM_* variables.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements/run.lock requirements/build.lock requirements/
RUN python -m venv /opt/strongroom \
 && /opt/strongroom/bin/pip install --no-cache-dir --require-hashes -r requirements/build.lock \
 && /opt/strongroom/bin/pip install --no-cache-dir --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE wsgi.py ./
COPY platform platform
COPY tenants tenants
COPY admin admin
COPY workers workers
COPY migrations migrations
RUN /opt/strongroom/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --create-home strongroom && install -d -o strongroom /var/lib/strongroom
COPY --from=build /opt/strongroom /opt/strongroom
ENV PATH=/opt/strongroom/bin:$PATH PYTHONUNBUFFERED=1
USER strongroom
VOLUME /var/lib/strongroom
EXPOSE 8000
ENTRYPOINT ["strongroom"]
CMD ["serve", "--bind", "0.0.0.0:8000"]
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
