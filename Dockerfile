# The product alone: bot, web endpoints and clockwork in one process. State is in /data or in PostgreSQL, so the
# rest may be read-only: docker run --read-only --tmpfs /tmp -v vmbot:/data --env-file .env -p 8080:8080 vmbot
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY alembic alembic
COPY billing billing
COPY bot bot
COPY cloud cloud
RUN python -m venv /opt/vmbot \
 && /opt/vmbot/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[hetzner,libcloud,proxmox,sentry]'

FROM python:3.13-slim
# What an invoice needs to show names in any script.
RUN apt-get update \
 && apt-get install -y --no-install-recommends fonts-noto-core fonts-noto-cjk \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 vmbot \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /data vmbot \
 && install -d -o vmbot -g vmbot -m 0700 /data
COPY --from=build /opt/vmbot /opt/vmbot
ENV PATH=/opt/vmbot/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LISTEN=0.0.0.0:8080 \
    DATA_DIR=/data
# By number, so that who starts it can see that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "bot"]
CMD ["run"]
