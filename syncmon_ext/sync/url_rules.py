"""What a database URL may name: drivers, parameters, hosts and files that are allowed.

A connection is written by whoever configures syncmon, but on a shared server that may be a file that
somebody else changed, or a link in a folder that somebody else writes.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from syncmon_ext.model.errors import InvalidConfig
from syncmon_ext.sync import inherited

DRIVERS: Final = {
    "sqlite": ("sqlite", "sqlite+pysqlite"),
    "postgresql": ("postgresql", "postgresql+psycopg"),
}
_TLS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslsni")
_TLS_TOO: Final = ("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version")
_SIGN_IN: Final = ("channel_binding", "require_auth", "gssencmode", "krbsrvname")
REACH: Final = ("host", "hostaddr", "port", "target_session_attrs", "load_balance_hosts")
_PATIENCE: Final = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
# Not among them: `options` and `replication` change what a session is, `service`, `servicefile` and
# `passfile` read another file's idea of the connection, `user` and `dbname` overrule the URL itself.
PARAMETERS: Final[dict[str, frozenset[str]]] = {
    "sqlite": frozenset(),
    "postgresql": frozenset((*_TLS, *_TLS_TOO, *_SIGN_IN, *REACH, *_PATIENCE, "application_name")),
}
# Where clouds hand a machine's own credentials to whoever asks from it.
_METADATA_NAMES: Final = ("metadata", "metadata.google.internal", "metadata.goog")
_METADATA_NETWORKS: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # EC2, Azure, GCP, OpenStack, ECS (.170.2), EKS (.170.23)
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
        "168.63.129.16/32",  # Azure's WireServer
        "fd00:ec2::/32",  # EC2 (::254), EKS (::23)
        "fd20:ce::254/128",  # GCP
        "fd00:c1::a9fe:a9fe/128",  # Oracle
        "fd00:42::42/128",  # Scaleway
        "fe80::a9fe:a9fe/128",  # OpenStack
    )
)
# In these the last 32 bits are an IPv4 address: NAT64, its local form, the form that mapped ones replaced.
_HOLDING_IPV4: Final = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")
)


def check_url(url: URL, name: str) -> None:
    """Raise InvalidConfig for a driver, a parameter or a host that connection ``name`` may not have."""
    dialect = url.get_backend_name()
    if url.drivername not in DRIVERS[dialect]:
        raise InvalidConfig(
            f"connection {name}: the driver {url.drivername} is not one that syncmon uses",
            hint=f"write {dialect}://",
        )
    for parameter in url.query:
        if parameter not in PARAMETERS[dialect]:
            known = ", ".join(sorted(PARAMETERS[dialect]))
            raise InvalidConfig(
                f"connection {name}: the url's parameter {parameter[:80]!r} is not allowed",
                hint=f"allowed: {known}" if known else f"a {dialect} url takes no parameters",
            )
    for host in hosts(url):
        refuse_metadata_host(host, f"connection {name}")


def check_addresses(url: URL, name: str) -> dict[str, str]:
    """Raise InvalidConfig where a host's name leads to a cloud's metadata service.

    Gives what the driver is to connect to: of a single host the addresses that were checked, since a
    second look at its name might find others.
    """
    found: dict[str, list[str]] = {}
    for host in hosts(url):
        if host.startswith(("/", "@")):  # a socket's folder
            continue
        with suppress(OSError):  # a name that cannot be found is told by the driver
            found[host] = addresses(host, url.port or 5432, f"connection {name}")
    if len(found) != 1 or hosts(url) != list(found) or "hostaddr" in url.query:
        return {}
    [(host, numbers)] = found.items()
    return {"host": ",".join([host] * len(numbers)), "hostaddr": ",".join(numbers)}


def hosts(url: URL) -> list[str]:
    """All hosts that a PostgreSQL URL names, which may be many, in its query too."""
    found = [url.host] if url.host else []
    for parameter in ("host", "hostaddr"):
        value = url.query.get(parameter, ())
        found += [value] if isinstance(value, str) else value
    return [host.strip() for text in found for host in text.split(",") if host.strip()]


def refuse_metadata_host(host: str, whose: str) -> None:
    """Raise InvalidConfig where ``host``, a name or an address in any notation, is a cloud's own."""
    plain = host.strip("[]").rstrip(".").lower()
    if plain in _METADATA_NAMES or is_metadata_address(plain):
        raise InvalidConfig(
            f"{whose}: {host[:80]} is a cloud's metadata service, no place for data",
            hint="name the host of the database or of the receiver",
        )


def is_metadata_address(text: str) -> bool:
    """Whether ``text`` is such an address, also in hexadecimal, octal, short or IPv6-mapped form."""
    address = _address(text)
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address.sixtofour is not None:
            address = address.sixtofour
        elif any(address in network for network in _HOLDING_IPV4):
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return any(address in network for network in _METADATA_NETWORKS)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        pass
    try:  # as the system's resolver reads it: 0xA9FEA9FE, 2852039166, 169.254.43518
        return ipaddress.ip_address(socket.inet_aton(text))
    except (OSError, ValueError):
        return None


def addresses(host: str, port: int, whose: str) -> list[str]:
    """The addresses of ``host``. Raises InvalidConfig where one is a cloud's, OSError for none."""
    refuse_metadata_host(host, whose)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    numbers = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for number in numbers:
        refuse_metadata_host(number, f"{whose}: {host[:80]}")
    return numbers


def allowed_path(path: Path, name: str) -> Path:
    """``path`` as it may be opened: below a root where roots are configured, links followed.

    Raises InvalidConfig. Without roots it is ``path`` itself.
    """
    roots = inherited.sqlite_roots()
    if not roots:
        return path
    try:
        real = path.resolve()
        below = any(real.is_relative_to(root.resolve()) for root in roots)
    except (OSError, RuntimeError):  # a link that leads to itself
        raise InvalidConfig(
            f"connection {name}: {path} cannot be followed", hint="name the file itself"
        ) from None
    if not below:
        raise InvalidConfig(
            f"connection {name}: {path} is not below a folder that SQLite files may be in",
            hint="move the file, or ask for its folder in SyncmonApp.sqlite_roots",
        )
    return real
