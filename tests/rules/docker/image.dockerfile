# ruleid: vallum.docker.image-latest
FROM python:latest AS build
# ruleid: vallum.docker.add-remote-url
ADD https://example.org/tool.tgz /opt/tool.tgz
# ruleid: vallum.docker.curl-pipe-shell
RUN curl -fsSL https://example.org/install.sh | sh
# ruleid: vallum.docker.secret-in-env
ENV DB_PASSWORD=hunter2222
# ruleid: vallum.docker.secret-in-env
ARG API_KEY="f00dfacef00d"
# ruleid: vallum.docker.secret-file-copied
COPY .npmrc /root/
# ruleid: vallum.docker.secret-file-copied
COPY deploy/id_rsa /root/.ssh/
# ruleid: vallum.docker.world-writable-permissions
RUN mkdir /data && chmod -R 777 /data
# ruleid: vallum.docker.sudo-in-image
RUN apt-get update && apt-get install -y sudo
# ruleid: vallum.docker.package-signature-check-off
RUN pip install --trusted-host mirror.example.org flask
# ruleid: vallum.docker.ssh-port-exposed
EXPOSE 8080 22
# ruleid: vallum.docker.debug-server-command
ENV FLASK_DEBUG=1
# ruleid: vallum.docker.user-root
USER root
# ruleid: vallum.docker.debug-server-command
CMD ["python", "manage.py", "runserver", "0.0.0.0:8000"]
