from django.http import HttpRequest, HttpResponse
from django.urls import path


def view(request: HttpRequest, **kwargs: object) -> HttpResponse:
    return HttpResponse()


urlpatterns = [path("orders/<int:number>/", view), path("reset/<str:token>/", view)]
