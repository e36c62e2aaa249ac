"""Every address of the service."""

from django.contrib import admin
from django.urls import path, register_converter
from django.views.generic import RedirectView

from service import health
from service.events.chain_views import ChainView
from service.events.objects_views import HistoryView, KeyConverter, StateView
from service.events.views import EventExportView, EventView
from service.explorer.views import DocsView, SchemaView
from service.ingest.meta import MetaView
from service.ingest.views import EventsView
from service.telemetry.views import EmitterListView, EmitterView, TelemetryView

handler400 = "service.api.problems.bad_request"
handler404 = "service.api.problems.not_found"
handler500 = "service.api.problems.server_error"

register_converter(KeyConverter, "key")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs")),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/events/", EventsView.as_view(), name="events"),
    path("api/v1/events/export/", EventExportView.as_view(), name="export"),
    path("api/v1/events/<uuid:id>/", EventView.as_view(), name="event"),
    path("api/v1/events/<uuid:id>/chain/", ChainView.as_view(), name="chain"),
    path("api/v1/objects/<sender>/<key:object_id>/history/", HistoryView.as_view(), name="history"),
    path("api/v1/objects/<sender>/<key:object_id>/state/", StateView.as_view(), name="state"),
    path("api/v1/telemetry/", TelemetryView.as_view(), name="telemetry"),
    path("api/v1/emitters/", EmitterListView.as_view(), name="emitters"),
    path("api/v1/emitters/<uuid:emitterid>/", EmitterView.as_view(), name="emitter"),
    path("api/v1/meta/", MetaView.as_view(), name="meta"),
    path("api/v1/schema/", SchemaView.as_view(), name="schema"),
    path("api/v1/docs/", DocsView.as_view(), name="docs"),
]
