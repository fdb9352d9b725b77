from __future__ import annotations

from syncmon_ext.store.shown_url import masked, without_secrets


def test_urls_are_shown_without_their_secrets() -> None:
    assert masked("postgresql://me:hunter2@host/db?sslpassword=hunter2&sslmode=require") == (
        "postgresql://me:***@host/db?sslmode=require&sslpassword=%2A%2A%2A"
    )
    assert "hunter2" not in masked("not a url with hunter2")


def test_url_without_its_secrets_still_leads_there() -> None:
    assert without_secrets(
        "postgresql://me:hunter2@host:5433/db?password=hunter2&sslmode=require&passfile=/p"
    ) == ("postgresql://me@host:5433/db?passfile=%2Fp&sslmode=require")
    assert without_secrets("sqlite:////a/store.db") == "sqlite:////a/store.db"
    assert without_secrets("not a url with hunter2") == ""
