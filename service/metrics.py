"""``/metrics``, for Prometheus: with a key that has the scope ``admin``, as they tell of all projects together."""

from django.http import HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.request import Request
from rest_framework.views import APIView

from service.api import metrics
from service.projects.models import Scope


class MetricsView(APIView):
    scopes = {"GET": Scope.ADMIN}
    schema = None

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(metrics.exposition(), CONTENT_TYPE_LATEST)
