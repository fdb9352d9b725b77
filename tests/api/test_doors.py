"""Every route, with every method, for everyone who may not: the tables themselves say what is tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tornado.web import RequestHandler

from syncmon_ext.api.routes import ROUTES
from syncmon_ext.page.handler import page_handlers
from tests.api.conftest import make_server
from tests.server import JupyterServer

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
PATHS = [route.path.format(task_id="nightly", name="source") for route in ROUTES]
PATHS += ["nothing/here", "tasks/nightly/nothing"]
WALK = [(method, path) for path in PATHS for method in METHODS]
# What stands for each wildcard in the patterns of the page's routes.
EXAMPLES = {"/?": "/", "([^/]+)": "nightly", "(.*)": "page.css"}

AUTHORIZER = """
from jupyter_server.auth import Authorizer
class Strict(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return resource != "syncmon" or action in {actions}
c.ServerApp.authorizer_class = Strict
"""


def page_path(pattern: str) -> str:
    """A path that a route of the page serves, below the server's address."""
    path = pattern
    for wildcard, example in EXAMPLES.items():
        path = path.replace(wildcard, example)
    assert re.fullmatch(pattern, path), f"say in EXAMPLES what may stand in {pattern}"
    return path.removeprefix("/")


def methods_of(handler: type[RequestHandler]) -> set[str]:
    """The methods that a handler has of its own."""
    names = {method: method.lower() for method in METHODS}
    return {m for m, n in names.items() if getattr(handler, n) is not getattr(RequestHandler, n)}


PAGES = {page_path(pattern): methods_of(handler) for pattern, handler, _ in page_handlers()}
PAGE_WALK = [(method, path) for path in PAGES for method in METHODS]


@pytest.fixture(scope="module", params=[True, False], ids=["open", "closed"])
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    """A server with each value of ``allow_unauthenticated_access``."""
    traits = {"ServerApp.allow_unauthenticated_access": request.param}
    with make_server(tmp_path_factory.mktemp("guarded"), traits=traits) as server:
        yield server


@pytest.fixture
def signed_in(guarded: JupyterServer) -> Iterator[httpx.Client]:
    """A browser: it has the cookies, and sends no token."""
    with httpx.Client(base_url=guarded.api, timeout=30) as client:
        client.get(f"{guarded.url}login")  # sets the cookie of the XSRF check
        client.get(f"{guarded.url}api/me", params={"token": guarded.token}).raise_for_status()
        assert client.cookies.get("_xsrf")
        yield client


def refused(answer: httpx.Response, *statuses: int) -> None:
    assert answer.status_code in statuses, (answer.request, answer.text)
    if answer.request.method != "HEAD":
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"code", "message", "hint"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}], ids=["none", "wrong"])
def test_stranger_is_refused_everywhere(guarded: JupyterServer, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=guarded.api, headers=headers, timeout=30) as client:
        for method, path in WALK:
            # Where unauthenticated access is open in general, a method that is not there says so.
            refused(client.request(method, path), 403, 405)
        for route, path in zip(ROUTES, PATHS, strict=False):
            for method in route.operations:
                refused(client.request(method, path), 403)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}], ids=["none", "wrong"])
def test_stranger_is_sent_from_every_page_to_the_login(
    guarded: JupyterServer, headers: dict[str, str]
) -> None:
    with httpx.Client(headers=headers, timeout=30) as client:
        for method, path in PAGE_WALK:
            answer = client.request(method, f"{guarded.url}{path}")
            if method in PAGES[path]:
                assert answer.status_code == 302, (method, path)
                assert answer.headers["Location"].startswith("/login?next="), (method, path)
            else:
                assert answer.status_code in (302, 403, 405), (method, path)


def test_cookie_without_xsrf_token_changes_nothing(
    guarded: JupyterServer, signed_in: httpx.Client
) -> None:
    assert signed_in.get("tasks").status_code == 200
    for method, path in WALK:
        if method in UNSAFE:
            refused(signed_in.request(method, path), 403)
    for method, path in PAGE_WALK:
        if method in UNSAFE:
            answer = signed_in.request(method, f"{guarded.url}{path}")
            assert answer.status_code == 403, (method, path)
    xsrf = {"X-XSRFToken": signed_in.cookies["_xsrf"]}
    assert signed_in.post("tasks/nowhere/pause", headers=xsrf).status_code == 404


def test_foreign_origin_is_refused_everywhere(
    guarded: JupyterServer, signed_in: httpx.Client
) -> None:
    headers = {"Origin": "https://evil.example", "X-XSRFToken": signed_in.cookies["_xsrf"]}
    for method, path in WALK:
        refused(signed_in.request(method, path, headers=headers), 403, 404)
    for method, path in PAGE_WALK:
        if method in UNSAFE:  # a link on another site may lead to the page
            answer = signed_in.request(method, f"{guarded.url}{path}", headers=headers)
            assert answer.status_code in (403, 404), (method, path)
    assert signed_in.get("tasks/nightly/progress", headers=headers).status_code == 404


def test_foreign_host_is_refused_everywhere(guarded: JupyterServer) -> None:
    with guarded.client(headers={"Host": "evil.example"}) as client:
        for method, path in WALK:
            refused(client.request(method, path), 403, 405)
        for method, path in PAGE_WALK:
            answer = client.request(method, f"{guarded.url}{path}")
            assert answer.status_code == 403, (method, path)


@pytest.mark.parametrize("anyone", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize(
    "actions", [set(), {"read"}, {"read", "execute"}], ids=["none", "read", "execute"]
)
def test_authorizer_decides_by_action(tmp_path: Path, actions: set[str], anyone: bool) -> None:
    config = AUTHORIZER.format(actions=sorted(actions))
    traits = {"ServerApp.allow_unauthenticated_access": anyone}
    needed = {
        (method.upper(), path): operation.action
        for route, path in zip(ROUTES, PATHS, strict=False)
        for method, operation in route.operations.items()
    }
    needed |= {("HEAD", path): a for (method, path), a in needed.items() if method == "GET"}
    with (
        make_server(tmp_path, config=config, traits=traits) as server,
        server.client() as client,
    ):
        for method, path in WALK:
            action = needed.get((method, path))
            if action is None:
                refused(client.request(method, path), 404, 405)
            elif action not in actions:
                refused(client.request(method, path), 403)
            elif not (method == "GET" and path.endswith("stream")):
                answer = client.request(method, path.replace("nightly", "nowhere"))
                assert answer.status_code not in (403, 405), (method, path)
        for method, path in PAGE_WALK:
            expected = 405 if method not in PAGES[path] else 200 if "read" in actions else 403
            answer = client.request(method, f"{server.url}{path}")
            assert answer.status_code == expected, (method, path)


def test_table_names_every_method_and_its_action() -> None:
    for route in ROUTES:
        own = {name.lower() for name in route.handler.allowed_methods()}
        assert own - {"head", "options"} == set(route.operations), route.path
        for method, operation in route.operations.items():
            expected = {"get": {"read"}, "post": {"execute", "write"}, "patch": {"execute"}}
            assert operation.action in expected.get(method, {"write"}), route.path
