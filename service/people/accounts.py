"""Where people log in and out, whether or not the admin is open to them, and see which projects they are in."""

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import ListView

from service.people import attempts
from service.projects import queries
from service.projects.models import Membership


class LogInForm(AuthenticationForm):
    """Look at the password only while few have failed; ``wait`` is for how many seconds none is looked at."""

    wait = 0

    def clean(self) -> dict[str, Any]:
        if self.request is None or not {"username", "password"} <= self.cleaned_data.keys():
            return self.cleaned_data
        try:
            attempt = attempts.begin(self.request, self.cleaned_data["username"])
        except attempts.TooManyAttempts as refusal:
            self.wait = refusal.seconds
            minutes = -(-refusal.seconds // 60)
            raise ValidationError(f"Too many logins have failed. Try again in {minutes} min.") from refusal
        cleaned = super().clean()
        attempts.succeeded(attempt)
        return cleaned


class LogInView(LoginView):
    template_name = "accounts/login.html"
    authentication_form = LogInForm

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        answer = super().form_invalid(form)
        if wait := getattr(form, "wait", 0):
            answer.status_code = 429
            answer["Retry-After"] = str(wait)
        return answer


class PasswordView(PasswordChangeView):
    template_name = "accounts/password.html"
    success_url = reverse_lazy("account")


@method_decorator(never_cache, name="dispatch")
class AccountView(LoginRequiredMixin, ListView):  # type: ignore[type-arg]  # not generic at run time
    template_name = "accounts/account.html"

    def get_queryset(self) -> QuerySet[Membership]:
        user = self.request.user
        return queries.memberships_of(user) if isinstance(user, User) else Membership.objects.none()

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(may_administer=queries.may_administer(self.request.user), **context)
