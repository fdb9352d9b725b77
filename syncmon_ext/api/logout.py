"""Hearing of logouts: Jupyter forgets a login, and streams that it opened have to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.auth.logout import LogoutHandler


def tell_of_logouts(provider: IdentityProvider, told: Callable[[str], None]) -> None:
    """Call ``told`` with the name of each user who logs out of this server.

    Jupyter has no event for it: the provider's method that ends a login is wrapped. A login that ends
    elsewhere, as at a Hub, is found when streams ask again who their user is.
    """
    clear = provider.clear_login_cookie

    def clear_and_tell(handler: Any) -> None:
        clear(handler)
        if isinstance(handler, LogoutHandler) and handler.current_user is not None:
            told(str(getattr(handler.current_user, "username", handler.current_user)))

    cast("Any", provider).clear_login_cookie = clear_and_tell
