"""The admin's site: open to superusers and to owners of projects, whether or not they are staff.

Who is staff and neither sees nothing that he might do, so that ``is_staff`` decides nothing. Django's permissions of
users and groups decide nothing either: what is within somebody's right is said in ``service.people.bounds``.
"""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, reverse, reverse_lazy

from service.projects import queries

NOTED = "heliograph.may_administer"


class Site(admin.AdminSite):
    site_header = site_title = "Heliograph"
    index_title = "Administration"
    site_url = reverse_lazy("account")  # type: ignore[assignment]  # the stubs want a str; the template resolves it

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether the site is open to who asks; one query a request, however often a page wants to know."""
        if NOTED not in request.META:
            request.META[NOTED] = queries.may_administer(request.user)
        may: bool = request.META[NOTED]
        return may

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send who isn't logged in to the one page where people log in. Raises PermissionDenied for the others."""
        index = reverse("admin:index")
        if self.has_permission(request):
            return HttpResponseRedirect(index)
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next", index))

    def password_change(  # type: ignore[override]  # the base answers with a template only
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Send who changes the password to the one page where guesses are counted."""
        return HttpResponseRedirect(reverse("password"))

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Leave out what finds any object's page by its id: it tells which ids there are, and none has such a page."""
        return [each for each in super().get_urls() if getattr(each, "name", None) != "view_on_site"]
