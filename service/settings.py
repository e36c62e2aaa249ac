"""Settings of the service, from the environment only.

Each variable is read by one of the helpers below, which name it when its value is unusable. A variable ``X``
that holds a secret can be given as ``X_FILE`` instead: the path of a file with the value.
"""

import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from service.launch import postgres, secret_key

BASE_DIR = Path(__file__).resolve().parent.parent


def env(name: str, default: str) -> str:
    return os.environ.get(name, "").strip() or default


def env_bool(name: str, default: bool) -> bool:
    value = env(name, str(default)).lower()
    if value not in {"true", "false", "1", "0"}:
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
    return value in {"true", "1"}


def env_int(name: str, default: int, at_least: int = 0) -> int:
    value = env(name, str(default))
    if not value.isdecimal() or int(value) < at_least:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least {at_least}, not {value!r}.")
    return int(value)


def env_list(name: str, default: str) -> list[str]:
    return [item.strip() for item in env(name, default).split(",") if item.strip()]


def env_secret(name: str) -> str:
    """Return ``name``, or what the file named by ``name``_FILE holds; empty when neither is set."""
    path = env(f"{name}_FILE", "")
    if not path:
        return env(name, "")
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE can't be read: {error}.") from error


# With a Postgres whose machine is gone: seconds, and milliseconds for TCP, until a new and a kept connection give up.
PATIENCE = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


def database(url: str) -> dict[str, Any]:
    """Turn a libpq URL or conninfo string into a Django database setting."""
    try:
        parts: dict[str, Any] = dict(conninfo_to_dict(url))
    except ProgrammingError as error:
        raise ImproperlyConfigured(
            f"DATABASE_URL must look like postgresql://user:password@host:5432/name: {error}"
        ) from error
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "heliograph"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        # A connection for each web thread, kept: a refused one answers 503 at once, where a pool would wait.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": PATIENCE | parts,
    }


VAR_DIR = Path(env("VAR_DIR", str(BASE_DIR / "var"))).resolve()

DEBUG = env_bool("DEBUG", False)
SECRET_KEY = env_secret("SECRET_KEY") or secret_key.read_or_create(VAR_DIR)
SECRET_KEY_FALLBACKS = env_secret("SECRET_KEY_FALLBACKS").replace(",", " ").split()
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", "")
# Where people come over TLS only, which these say, no cookie is sent without it.
SESSION_COOKIE_SECURE = bool(CSRF_TRUSTED_ORIGINS) and all(each.startswith("https://") for each in CSRF_TRUSTED_ORIGINS)
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE

DATABASES = {"default": database(env_secret("DATABASE_URL") or postgres.dsn(VAR_DIR))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "service.launch",
    "service.explorer",
    "service.ingest",
    "service.access",
    "service.retention",
    "service.people",
    "service.telemetry",
    "service.stats",
    "service.events",
    "service.projects",
    "service.api",
    "service.people.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "procrastinate.contrib.django",
]

MIDDLEWARE = [
    "service.api.calls.RouteMiddleware",
    "service.projects.ratelimit.RateLimitMiddleware",
    "service.api.parameters.QueryMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "service.access.reads.ReadMiddleware",
]

ROOT_URLCONF = "service.urls"
# A redirect would turn a POST into a GET, and lose the event behind a 200.
APPEND_SLASH = False
CSRF_FAILURE_VIEW = "service.api.problems.csrf_failure"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "account"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
# Served from the packages themselves, so that no collectstatic stands between a checkout and its first page.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

RETENTION_DAYS = env_int("RETENTION_DAYS", 365, at_least=1)
QUERY_TIMEOUT = env_int("QUERY_TIMEOUT", 10, at_least=1)  # seconds
RECORD_READS = env_bool("RECORD_READS", True)

# A thousand requests a second: of a thousand events each, if they are many.
RATE_LIMIT = env_int("RATE_LIMIT", 60_000)
TRUSTED_PROXIES = env_int("TRUSTED_PROXIES", 0)

# Of each web process. A thread has a connection to Postgres of its own; on many cores, more would only wait for it.
WEB_THREADS = env_int("WEB_THREADS", min(2 * (os.cpu_count() or 1) + 1, 16), at_least=1)
WEB_WAITING = env_int("WEB_WAITING", 128)  # requests that may wait for a thread
WEB_MEMORY = env_int("WEB_MEMORY", 64, at_least=8)  # MiB of bodies and large answers; one body may have 5
WEB_PATIENCE = env_int("WEB_PATIENCE", 10, at_least=1)  # seconds that a client may lag behind, sending or reading

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "service.projects.authentication.KeyAuthentication",
        "service.projects.sessions.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["service.projects.permissions.HasScope"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "service.api.renderers.AlwaysJSON",
    "DEFAULT_RENDERER_CLASSES": ["service.api.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "service.api.openapi.OperationSchema",
    "EXCEPTION_HANDLER": "service.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Heliograph",
    "DESCRIPTION": (
        "An event hub for Django signals. Send CloudEvents with a key that has `events:write`; read them with a key "
        "that has `events:read`. Press **Authorize** and paste a key (`hg_…`)."
    ),
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": True, "displayRequestDuration": True, "filter": True},
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,  # not every event has a recordedid
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "service.api.schema.describe_headers",
    ],
    "SORT_OPERATIONS": False,
    "SORT_OPERATION_PARAMETERS": False,
    "TAGS": [
        {"name": "events", "description": "Send events and read them back."},
        {"name": "objects", "description": "What happened to one object, and how it was at a moment."},
        {"name": "stats", "description": "How many events there are, of what, and when."},
        {"name": "emitters", "description": "The processes that send, what they lost and what is missing of theirs."},
        {"name": "keys", "description": "The keys of a project."},
        {"name": "projects", "description": "The projects that the caller may see."},
        {"name": "erasures", "description": "What was erased of a project, or is being."},
        {"name": "meta", "description": "What this service takes."},
    ],
}

LOG_FORMAT = env("LOG_FORMAT", "line")
if LOG_FORMAT not in {"line", "json"}:
    raise ImproperlyConfigured(f"LOG_FORMAT must be line or json, not {LOG_FORMAT!r}.")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "service.api.logs.LineFormatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
        "json": {"()": "service.api.logs.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    # Django's default would have this logger write every refusal twice, in another format.
    "loggers": {
        "django": {"handlers": [], "level": "NOTSET"},
        "django.request": {"level": "ERROR"},
        # Anybody can send a foreign Host header, or a form of a thousand fields; each would write a traceback.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "django.security.TooManyFieldsSent": {"level": "CRITICAL"},
        # The server's own lines, in a web process.
        "_granian": {"handlers": [], "level": "WARNING", "propagate": True},
    },
    "root": {"handlers": ["stderr"], "level": env("LOG_LEVEL", "WARNING")},
}
