"""Where people log in and out, whether or not the admin is open to them, and see which projects they are in."""

from typing import Any

from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import ListView

from service.people import attempts
from service.projects import queries
from service.projects.models import Membership


class Limited:
    """Looks at a password only while few have failed; ``wait`` is for how many seconds none is looked at."""

    wait = 0

    def begin(self, request: HttpRequest, username: str) -> attempts.Attempt:
        try:
            return attempts.begin(request, username)
        except attempts.TooManyAttempts as refusal:
            self.wait = refusal.seconds
            minutes = -(-refusal.seconds // 60)
            raise ValidationError(f"Too many passwords were wrong. Try again in {minutes} min.") from refusal


class LogInForm(Limited, AuthenticationForm):
    def clean(self) -> dict[str, Any]:
        if self.request is None or not {"username", "password"} <= self.cleaned_data.keys():
            return self.cleaned_data
        attempt = self.begin(self.request, self.cleaned_data["username"])
        cleaned = super().clean()
        attempts.succeeded(attempt)
        return cleaned


class PasswordForm(Limited, PasswordChangeForm):
    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        """Look at the old password as a login does: whoever has a session isn't to guess it either."""
        attempt = self.begin(self.request, self.user.get_username())
        old: str = super().clean_old_password()
        attempts.succeeded(attempt)
        return old


class LimitedView:
    def form_invalid(self, form: Any) -> HttpResponse:
        answer: HttpResponse = super().form_invalid(form)  # type: ignore[misc]  # of the view that it is mixed into
        if form.wait:
            answer.status_code = 429
            answer["Retry-After"] = str(form.wait)
        return answer


class LogInView(LimitedView, LoginView):
    template_name = "accounts/login.html"
    authentication_form = LogInForm


class PasswordView(LimitedView, PasswordChangeView):
    template_name = "accounts/password.html"
    form_class = PasswordForm
    success_url = reverse_lazy("account")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}


@method_decorator(never_cache, name="dispatch")
class AccountView(LoginRequiredMixin, ListView):  # type: ignore[type-arg]  # not generic at run time
    template_name = "accounts/account.html"

    def get_queryset(self) -> QuerySet[Membership]:
        user = self.request.user
        return queries.memberships_of(user) if isinstance(user, User) else Membership.objects.none()

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(may_administer=queries.may_administer(self.request.user), **context)
