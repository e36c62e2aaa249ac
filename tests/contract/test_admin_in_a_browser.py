"""``docs/how-to/people.md``, in a real browser: what it says to press is there, in its order, and does what it says."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect, sync_playwright

from service.projects.models import Membership, Role
from tests.contract.tenants import Tenant
from tests.contract.test_swagger_ui import CLOSED_NETWORK, PATIENCE, Visit
from tests.live import eventually

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "people.md"
TOKEN = re.compile(r"hg_[A-Za-z0-9]{40}")
PASSWORD = secrets.token_urlsafe()


def told_to_press(section: str) -> list[str]:
    """Return what a section of the guide has in bold."""
    text = GUIDE.read_text().partition(f"\n### {section}\n")[2].partition("\n#")[0]
    return re.findall(r"\*\*(.+?)\*\*", text)


class Reader:
    """Somebody in the admin with a browser, who presses what a section says, one after the other."""

    def __init__(self, visit: Visit) -> None:
        self.page: Page = visit.page
        self.origin = visit.origin
        self.left: list[str] = []

    def log_in(self, name: str, password: str = PASSWORD) -> None:
        self.page.goto(f"{self.origin}/accounts/")
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("heading", name=name)).to_be_visible()

    def log_out(self) -> None:
        self.page.goto(f"{self.origin}/accounts/")
        self.page.get_by_role("button", name="Log out").click()

    def begin(self, section: str) -> None:
        assert self.left == []
        self.left = told_to_press(section)
        assert self.left

    def start(self, section: str) -> None:
        """Begin a section at the admin's first page."""
        self.begin(section)
        self.page.goto(f"{self.origin}/accounts/")
        self.page.get_by_role("link", name="Administration").click()

    def press(self) -> None:
        name = self.left.pop(0)
        either = self.page.get_by_role("link", name=name, exact=True)
        either.or_(self.page.get_by_role("button", name=name, exact=True)).first.click()

    def choose_project(self, name: str) -> None:
        self.page.locator(".field-project .select2-selection").click()
        self.page.locator(".select2-search__field").last.fill(name)
        self.page.locator(".select2-results__option", has_text=name).click()

    def token(self) -> str:
        shown = self.page.get_by_label("The token").input_value()
        assert TOKEN.fullmatch(shown)
        assert TOKEN.findall(self.page.content()) == [shown]
        return shown

    def open_key(self, token: str) -> None:
        self.page.goto(f"{self.origin}/admin/projects/key/")
        self.page.get_by_role("link", name=token[:11]).click()
        expect(self.page.locator("#content h1")).to_have_text(re.compile("(Change|View) key"))

    def pages_that_show(self, token: str) -> list[str]:
        """Return the pages of keys, each reached by its link, that have a token on them."""
        shown = []
        for way in ("/admin/", "/admin/projects/key/", "/admin/projects/key/add/"):
            self.page.goto(self.origin + way)
            shown += [way] if token in self.page.content() else []
        self.open_key(token)
        return shown + ([self.page.url] if token in self.page.content() else [])


@pytest.fixture
def tenant_and_people(tenant: Tenant) -> Tenant:
    owner = User.objects.create(username="ada", password=kept(PASSWORD))
    Membership.objects.create(project_id=tenant.id, user=owner, role=Role.OWNER)
    User.objects.create(username="root", password=kept(PASSWORD), is_superuser=True)
    return tenant


def kept(password: str) -> str:
    """Return what is kept of a password, as the live service does; the tests' own settings have another way."""
    return PBKDF2PasswordHasher().encode(password, secrets.token_hex(8), iterations=1000)


# The people come first: Django's ORM refuses to work while Playwright's event loop runs.
@pytest.fixture
def visit(tenant_and_people: Tenant, browser: Path) -> Iterator[Visit]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser, args=CLOSED_NETWORK)
        page = launched.new_page()
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield Visit(page=page, origin=tenant_and_people.url)
        launched.close()


def complaints(visit: Visit) -> list[str]:
    """Return what went wrong on the pages; who goes on before all of a page is there breaks its requests off."""
    return [each for each in visit.complaints if not each.endswith("net::ERR_ABORTED") and not each.startswith("info:")]


def status_with(visit: Visit, token: str) -> int:
    with urllib3.PoolManager(retries=False, timeout=10) as http:
        answer = http.request("GET", f"{visit.origin}/api/v1/events/", headers={"Authorization": f"Bearer {token}"})
    return answer.status


def test_keys_are_made_rotated_and_revoked_as_the_guide_says(visit: Visit) -> None:
    ada = Reader(visit)
    ada.log_in("ada")

    ada.start("Make a key")
    ada.press()
    ada.press()
    ada.choose_project("contract")
    ada.page.get_by_label("Label").fill("the till")
    ada.page.get_by_label("Read events").check()
    ada.press()
    first = ada.token()
    assert status_with(visit, first) == 200
    assert ada.pages_that_show(first) == []

    ada.begin("Rotate a key")
    ada.press()
    ada.page.get_by_role("spinbutton").fill("1")
    ada.press()
    second = ada.token()
    assert second != first
    assert [status_with(visit, token) for token in (first, second)] == [200, 200]
    assert ada.pages_that_show(second) == []

    ada.open_key(first)
    ada.begin("Revoke a key")
    ada.press()
    ada.press()
    expect(ada.page.get_by_text("is revoked")).to_be_visible()
    eventually(lambda: status_with(visit, first) == 401)
    assert status_with(visit, second) == 200
    assert ada.left == []
    assert visit.strangers() == []
    assert complaints(visit) == []


def test_people_and_members_are_made_as_the_guide_says(visit: Visit) -> None:
    password = secrets.token_urlsafe()
    reader = Reader(visit)
    reader.log_in("root")
    reader.start("Make a person")
    reader.press()
    reader.press()
    reader.page.get_by_label("Username").fill("grace")
    reader.page.get_by_label("Password:", exact=True).fill(password)
    reader.page.get_by_label("Password confirmation").fill(password)
    reader.press()
    expect(reader.page.get_by_text("was added successfully")).to_be_visible()
    reader.log_out()

    reader.log_in("ada")
    reader.start("Make a member")
    reader.press()
    reader.press()
    reader.choose_project("contract")
    reader.page.get_by_label("User").fill("grace")
    reader.page.get_by_label("Role").select_option("viewer")
    reader.press()
    expect(reader.page.locator("#result_list").get_by_text("grace")).to_be_visible()
    reader.log_out()

    reader.log_in("grace", password)
    expect(reader.page.get_by_text("contract")).to_be_visible()
    expect(reader.page.get_by_role("link", name="Administration")).to_be_hidden()
    assert reader.left == []
    assert complaints(visit) == []
