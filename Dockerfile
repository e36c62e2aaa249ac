# The service alone, for a Postgres of yours: docker run -e DATABASE_URL=… -e SECRET_KEY=… -p 8000:8000 heliograph
FROM python:3.13-slim

COPY --from=ghcr.io/astral-sh/uv:latest /uv /usr/local/bin/uv
WORKDIR /heliograph
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY emitter emitter
RUN uv sync --locked --no-dev --group service --compile-bytecode
COPY manage.py ./
COPY service service

RUN useradd --system --create-home heliograph && mkdir var && chown heliograph var
USER heliograph
ENV HOST=0.0.0.0 PATH=/heliograph/.venv/bin:$PATH
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(urllib.request.Request(f'http://127.0.0.1:{os.environ.get(\"PORT\", 8000)}/readyz', headers={'Host': 'localhost'}))"]
CMD ["python", "manage.py", "up"]
