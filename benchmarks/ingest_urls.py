"""The addresses of the service, and one that authenticates and does nothing, to measure single events against."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from service.projects.models import Scope
from service.urls import urlpatterns as own


class EmptyView(APIView):
    scopes = {"POST": Scope.EVENTS_WRITE}

    def post(self, request: Request) -> Response:
        return Response({})


urlpatterns = [*own, path("api/v1/empty/", EmptyView.as_view())]
