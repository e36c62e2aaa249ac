"""The Swagger page in a real browser: authorize, send the example, read it back, and nothing leaves the machine."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.contract.tenants import Tenant

# Whatever asks for another host gets no answer, the browser's own errands included.
CLOSED_NETWORK = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-quic", "--no-first-run"]
PATIENCE = 30_000  # milliseconds for a page or an answer to appear


@dataclass(slots=True, kw_only=True)
class Visit:
    """A page of the live service in a browser, what it asked for, and what it complained of."""

    page: Page
    origin: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"{request.url}: {request.failure}"))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open_docs(self) -> None:
        self.page.goto(f"{self.origin}/api/v1/docs/")
        expect(self.operation("events_create")).to_be_visible()

    def operation(self, name: str) -> Locator:
        return self.page.locator(f'[id^="operations-"][id$="-{name}"]')

    def authorize(self, key: str) -> None:
        self.page.get_by_role("button", name="Authorize", exact=True).click()
        dialog = self.page.locator(".dialog-ux")
        form = dialog.locator("form").filter(has_text="A key of a project")
        form.get_by_role("textbox").fill(key)
        form.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close", exact=True).first.click()

    def try_out(self, name: str, **parameters: str | None) -> "Trial":
        """Try an operation as the page offers it; ``parameters`` are typed in, or taken from their examples if None."""
        operation = self.operation(name)
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        for parameter, value in parameters.items():
            row = operation.locator(f'tr[data-param-name="{parameter}"]')
            if value is None:
                row.locator("select.examples-select-element").select_option("AnExample")
            else:
                row.get_by_role("textbox").fill(value)
        written = operation.locator("textarea.body-param__text")
        sent = written.input_value() if written.count() else ""
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table .response")
        expect(answer).to_be_visible()
        status = answer.locator(".response-col_status").inner_text().split()[0]
        body = answer.locator(".highlight-code code, a[download]").first.inner_text()
        return Trial(sent=sent, status=status, body=body)

    def strangers(self) -> list[str]:
        """Return the addresses asked for that are not the service's. The page's own inline pictures are no requests."""
        return [url for url in self.requests if not url.startswith((f"{self.origin}/", "data:"))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was sent, empty where an operation takes no body, and what the page shows or offers of the answer."""

    sent: str
    status: str
    body: str


# The tenant comes first: Django's ORM refuses to work while Playwright's event loop runs.
@pytest.fixture
def visit(tenant: Tenant, browser: Path) -> Iterator[Visit]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser, args=CLOSED_NETWORK)
        page = launched.new_page()
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield Visit(page=page, origin=tenant.url)
        launched.close()


def test_the_page_comes_from_the_service_alone(visit: Visit) -> None:
    visit.open_docs()

    assert any(url.endswith(".js") for url in visit.requests)
    assert any(url.endswith(".css") for url in visit.requests)
    assert visit.strangers() == []
    assert visit.complaints == []


def test_the_example_is_sent_as_it_is_and_read_back(visit: Visit, tenant: Tenant) -> None:
    visit.open_docs()

    visit.authorize(tenant.key)
    created = visit.try_out("events_create")
    listed = visit.try_out("events_list")
    found = visit.try_out("events_retrieve")
    chain = visit.try_out("events_chain")

    history = visit.try_out("objects_history")
    state = visit.try_out("objects_state")

    assert (created.status, listed.status, found.status) == ("201", "200", "200")
    assert (chain.status, history.status, state.status) == ("200", "200", "200")
    assert json.loads(created.body) == {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": []}
    assert [event["id"] for event in json.loads(listed.body)["results"]] == [json.loads(created.sent)["id"]]
    assert json.loads(found.body)["id"] == json.loads(created.sent)["id"]
    assert json.loads(chain.body)["events"][0]["event"] == json.loads(found.body)
    assert [entry["id"] for entry in json.loads(history.body)["results"]] == [json.loads(created.sent)["id"]]
    assert json.loads(state.body)["fields"] == {"status": "paid"}
    assert visit.strangers() == []
    assert visit.complaints == []


def test_a_list_is_tried_out_with_the_examples_of_its_filters(visit: Visit, tenant: Tenant) -> None:
    visit.open_docs()
    visit.authorize(tenant.key)
    created = visit.try_out("events_create")

    listed = visit.try_out("events_list", sender=None, changed=None, time__gte=None, q=None, source="/shop/web")

    assert listed.status == "200"
    assert [event["id"] for event in json.loads(listed.body)["results"]] == [json.loads(created.sent)["id"]]
    asked = [url for url in visit.requests if "/api/v1/events/?" in url][-1]
    with_defaults = {"page_size", "ordering"}
    assert parse_qs(urlsplit(asked).query).keys() - with_defaults == {"sender", "changed", "time__gte", "q", "source"}
    assert visit.complaints == []


def test_exports_and_statistics_are_tried_out(visit: Visit, tenant: Tenant) -> None:
    visit.open_docs()
    visit.authorize(tenant.key)
    visit.try_out("events_create")

    export, histogram, top, signals = (
        visit.try_out(name) for name in ("events_export", "stats_histogram", "stats_top", "signals_list")
    )

    assert [each.status for each in (export, histogram, top, signals)] == ["200"] * 4
    assert export.body == "Download file"
    assert visit.complaints == []


def test_the_page_says_how_to_follow_what_it_can_not_show(visit: Visit) -> None:
    visit.open_docs()

    tail = visit.operation("events_tail")
    tail.locator(".opblock-summary-control").click()

    expect(tail.get_by_text("curl -N")).to_be_visible()


def test_a_filter_that_holds_for_nothing_lists_nothing(visit: Visit, tenant: Tenant) -> None:
    visit.open_docs()
    visit.authorize(tenant.key)
    visit.try_out("events_create")

    listed = visit.try_out("events_list", sender="shop.Basket")

    assert (listed.status, json.loads(listed.body)["results"]) == ("200", [])


def test_a_page_loaded_again_remembers_the_key_and_has_a_new_example(visit: Visit, tenant: Tenant) -> None:
    visit.open_docs()
    visit.authorize(tenant.key)
    first = visit.try_out("events_create")

    visit.open_docs()
    second = visit.try_out("events_create")

    assert (first.status, second.status) == ("201", "201")
    assert json.loads(first.sent)["id"] != json.loads(second.sent)["id"]


def test_without_a_key_the_page_shows_what_is_missing(visit: Visit) -> None:
    visit.open_docs()

    refused = visit.try_out("events_create")

    assert refused.status == "401"
    assert json.loads(refused.body)["code"] == "key_missing"
