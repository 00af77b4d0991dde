# ok: vallum.docker.image-not-pinned
FROM python:3.13-slim@sha256:0000000000000000000000000000000000000000000000000000000000000000 AS build
# ok: vallum.docker.add-remote-url
ADD --checksum=sha256:0000 https://example.org/tool.tgz /opt/tool.tgz
# ok: vallum.docker.curl-pipe-shell
RUN curl -fsSLo tool.sh https://example.org/install.sh && sha256sum -c tool.sha && sh tool.sh
# ok: vallum.docker.secret-in-env
ENV DB_PASSWORD_FILE=/run/secrets/db
# ok: vallum.docker.secret-in-env
ARG API_KEY
# ok: vallum.docker.secret-file-copied
COPY package.json .env.example /srv/
# ok: vallum.docker.world-writable-permissions
RUN mkdir /data && chmod 750 /data
# ok: vallum.docker.sudo-in-image
RUN apt-get update && apt-get install -y ca-certificates
# ok: vallum.docker.package-signature-check-off
RUN pip install --require-hashes -r requirements.txt
# ok: vallum.docker.image-latest
FROM build
# ok: vallum.docker.ssh-port-exposed
EXPOSE 8080
# ok: vallum.docker.user-root
USER root
RUN adduser --uid 10001 app
USER 10001
# ok: vallum.docker.missing-user
# ok: vallum.docker.debug-server-command
CMD ["gunicorn", "app:app"]
