"""The HTML page, its embed view, and the built assets of both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
THEMES: Final = frozenset({"light", "dark"})
_TEMPLATES: Final = Environment(loader=FileSystemLoader(HERE), autoescape=True)


def page_handlers() -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The routes of the page, below the server's base URL."""
    return [
        (r"/syncmon/?", PageHandler, {}),
        (r"/syncmon/embed/([^/]+)", EmbedHandler, {}),
        (r"/syncmon/static/(.*)", StaticHandler, {"path": str(STATIC)}),
    ]


class _ViewHandler(JupyterHandler):
    """Renders the one template around a script that draws everything else."""

    @property
    def content_security_policy(self) -> str:
        """Jupyter's own policy, and no script but ours: nothing in the page needs more."""
        ours = "script-src 'self'; object-src 'none'; base-uri 'self'"
        return f"{super().content_security_policy}; {ours}"

    def render_view(self, entry: str, task_id: str | None) -> None:
        """Reply with the page that runs the script ``entry``; 503 where it was not built."""
        static = url_path_join(self.base_url, "syncmon/static")
        try:
            script = _versioned(static, f"{entry}.js")
            style = _versioned(static, "page.css")
            worker = _versioned(static, "worker.js")
        except FileNotFoundError as error:
            raise web.HTTPError(
                503,
                f"the front end is not built ({error.filename} is missing): "
                "run `make install`, or install syncmon from a wheel",
            ) from error
        theme = self.get_query_argument("theme", "")
        config = {"baseUrl": self.base_url, "syncmonTask": task_id, "syncmonWorker": worker}
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-cache")
        self.xsrf_token  # noqa: B018  reading it sets the cookie that the script sends back
        self.finish(
            _TEMPLATES.get_template("page.html").render(
                view=entry,
                theme=theme if theme in THEMES else "",
                script=script,
                style=style,
                # A data block ends at the first "</script": no "<" may stand in it.
                config=json.dumps(config).replace("<", "\\u003c"),
            )
        )


class PageHandler(_ViewHandler):
    """Serves ``syncmon/``: all tasks, and one of them in full."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")  # type: ignore[untyped-decorator]  # Jupyter's
    def get(self) -> None:
        """Reply with the page."""
        self.render_view("page", None)


class EmbedHandler(_ViewHandler):
    """Serves ``syncmon/embed/:task``: the panel of one task, for an iframe in a notebook's cell."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")  # type: ignore[untyped-decorator]  # Jupyter's
    def get(self, task_id: str) -> None:
        """Reply with the panel."""
        self.render_view("embed", task_id)


class StaticHandler(JupyterHandler, web.StaticFileHandler):
    """Serves the built scripts and styles; an address with ``?v=`` may be kept for years."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")  # type: ignore[untyped-decorator]  # Jupyter's
    async def get(  # type: ignore[override]  # the decorators' types lose the signature
        self, path: str, include_body: bool = True
    ) -> None:
        """Reply with a built file."""
        await web.StaticFileHandler.get(self, path, include_body)

    @web.authenticated
    @authorized(action="read", resource="syncmon")  # type: ignore[untyped-decorator]  # Jupyter's
    async def head(self, path: str) -> None:  # type: ignore[override]  # as above
        """Reply with a built file's headers."""
        await web.StaticFileHandler.get(self, path, include_body=False)

    def set_extra_headers(self, path: str) -> None:
        """Without a version in the address, ask again each time."""
        if "v" not in self.request.arguments:
            self.set_header("Cache-Control", "no-cache")


def _versioned(static: str, name: str) -> str:
    """The address of a built file, which changes with its content."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"{url_path_join(static, name)}?v={digest[:16]}"
