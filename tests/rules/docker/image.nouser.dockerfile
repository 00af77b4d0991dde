# ruleid: vallum.docker.image-not-pinned
FROM python:3.13-slim
# ok: vallum.docker.image-latest
FROM node:24.1.0@sha256:0000000000000000000000000000000000000000000000000000000000000000 AS build
# ruleid: vallum.docker.image-latest
FROM registry.example.org/shop/base
COPY . /srv
# ruleid: vallum.docker.missing-user
CMD ["python", "/srv/app.py"]
