"""What a person sees where the server cannot use its store."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.site import Site
from tests.databases import sqlite_url
from tests.store.make import make_newer_store

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-control")]


@pytest.mark.parametrize("path", ["", "embed/nightly"], ids=["page", "embed"])
def test_page_says_what_to_do_with_a_store_of_a_newer_version(
    tmp_path: Path, open_page: OpenPage, path: str
) -> None:
    make_newer_store(tmp_path / "store.db")
    connections = {"source": sqlite_url(tmp_path / "s.db"), "target": sqlite_url(tmp_path / "t.db")}
    task = {"source": "source", "target": "target", "tables": ["t"]}
    with Site(tmp_path, connections, {"nightly": task}) as site:
        page = open_page(site, path=path)
        error = page.get_by_role("alert")
        expect(error).to_contain_text("schema '9999', which this version of syncmon does not know")
        expect(error).to_contain_text(f"the store {site.server.store_url} has")
        expect(error).to_be_visible()
        hint = error.locator(".sm-hint")
        expect(hint).to_be_visible()
        expect(hint).to_contain_text("upgrade this one, or set SYNCMON_STORE elsewhere")
