"""Every address of the service."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import path, register_converter
from django.views.generic import RedirectView

from service import health
from service.access.views import KeyListView, KeyRotationView, KeyView, ProjectListView, ProjectView
from service.events.chain_views import ChainView
from service.events.objects_views import HistoryView, KeyConverter, StateView
from service.events.tail_views import TailView
from service.events.views import EventExportView, EventView
from service.explorer.views import DocsView, SchemaView
from service.ingest.meta import MetaView
from service.ingest.views import EventsView
from service.metrics import MetricsView
from service.people.accounts import AccountView, LogInView, PasswordView
from service.retention.views import ErasureListView
from service.stats.views import HistogramView, SignalListView, TopView
from service.telemetry.views import EmitterListView, EmitterView, TelemetryView

handler400 = "service.api.problems.bad_request"
handler404 = "service.api.problems.not_found"
handler500 = "service.api.problems.server_error"

register_converter(KeyConverter, "key")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs")),
    path("favicon.ico", RedirectView.as_view(url="/static/drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png")),
    path("readyz", health.ready, name="readyz"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("accounts/", AccountView.as_view(), name="account"),
    path("accounts/login/", LogInView.as_view(), name="login"),
    path("accounts/password/", PasswordView.as_view(), name="password"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("api/v1/events/", EventsView.as_view(), name="events"),
    path("api/v1/events/tail/", TailView.as_view(), name="events-tail"),
    path("api/v1/events/export/", EventExportView.as_view(), name="export"),
    path("api/v1/events/<uuid:id>/", EventView.as_view(), name="event"),
    path("api/v1/events/<uuid:id>/chain/", ChainView.as_view(), name="chain"),
    path("api/v1/objects/<sender>/<key:object_id>/history/", HistoryView.as_view(), name="history"),
    path("api/v1/objects/<sender>/<key:object_id>/state/", StateView.as_view(), name="state"),
    path("api/v1/telemetry/", TelemetryView.as_view(), name="telemetry"),
    path("api/v1/emitters/", EmitterListView.as_view(), name="emitters"),
    path("api/v1/emitters/<uuid:emitterid>/", EmitterView.as_view(), name="emitter"),
    path("api/v1/stats/histogram/", HistogramView.as_view(), name="histogram"),
    path("api/v1/stats/top/", TopView.as_view(), name="top"),
    path("api/v1/signals/", SignalListView.as_view(), name="signals"),
    path("api/v1/keys/", KeyListView.as_view(), name="keys"),
    path("api/v1/keys/<int:key_id>/", KeyView.as_view(), name="key"),
    path("api/v1/keys/<int:key_id>/rotate/", KeyRotationView.as_view(), name="key-rotation"),
    path("api/v1/projects/", ProjectListView.as_view(), name="projects"),
    path("api/v1/projects/<slug:name>/", ProjectView.as_view(), name="project"),
    path("api/v1/erasures/", ErasureListView.as_view(), name="erasures"),
    path("api/v1/meta/", MetaView.as_view(), name="meta"),
    path("api/v1/schema/", SchemaView.as_view(), name="schema"),
    path("api/v1/docs/", DocsView.as_view(), name="docs"),
]
