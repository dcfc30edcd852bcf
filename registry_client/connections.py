"""Connections to hosts: kept open, made as the environment says, and to nobody who may not be asked.

Out of the environment come proxies and CA bundles, by `requests`, once for each origin. No netrc, no cookies, and no retries
come from here; what is sent and what is made of answers is decided in `registry_client.http`, the only user.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from registry_client.answers import NOT_PUBLIC
from registry_client.deadline import watching, within
from registry_client.forks import begins_anew

if TYPE_CHECKING:
    import socket

    from registry_client.credentials import Credentials
    from registry_client.deadline import Deadline

PARALLEL: Final = 64
"""Connections to one origin that stay open; with more requests at once, the others are closed after each answer."""
_ORIGINS: Final = 64
_ROUTES: Final = 1024
_BOTH_WAYS: Final = 2  # SHUT_RDWR
_PLATFORMS: Final = frozenset({"168.63.129.16"})  # Azure's, for the machines in it: GitHub's runners


@dataclass(frozen=True)
class Route:
    """How an origin is reached.

    Attributes:
        pool: its connections.
        forwarded: whether a proxy is told the whole URL; else there is a connection, or a tunnel, to the origin itself.
        watched: whether its connections say what they wait for; SOCKS proxies have ones of another library.
    """

    pool: urllib3.HTTPConnectionPool
    forwarded: bool
    watched: bool


class Connections:
    """Connections for one transport. Threads may share an object.

    Args:
        credentials: who is sent something; for nothing else than to keep it from proxies.
        public_only: make no connection to a private address, where no proxy makes them in our place.
    """

    def __init__(self, credentials: Credentials, *, public_only: bool) -> None:
        self._credentials = credentials
        self._environment = requests.Session()  # merges settings, and never sends anything
        self._public_only = public_only
        self.begin_anew()
        begins_anew(self)

    def begin_anew(self) -> None:
        """Have no connections, in a child process that would share them with its parent."""
        self._adapter = _Adapter(public_only=self._public_only)
        self._routes: dict[tuple[str, str], Route] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            self._routes.clear()
            self._adapter.close()

    def route(self, url: str, deadline: Deadline) -> Route:
        """How the origin of a prepared URL is reached.

        Raises:
            FetchError: that could not be found out within the deadline.
            OSError, ValueError: what the environment names cannot be used, or the URL is malformed.
        """
        parts = urlsplit(url)
        origin = parts.scheme, parts.netloc
        route = self._routes.get(origin)
        if route is None or route.pool.pool is None:  # closed: so many other origins were asked since
            route = within(deadline, url, lambda _: self._find(url))  # some systems look names up for it
            with self._lock:
                if len(self._routes) >= _ROUTES:
                    self._routes.clear()
                self._routes[origin] = route
        return route

    def _find(self, url: str) -> Route:
        settings = self._environment.merge_environment_settings(url, {}, None, None, None)
        proxies = dict(settings["proxies"])
        if url.startswith("http:") and self._credentials.header_for(url) is not None:
            proxies = {}  # a token over http is for this machine only
        request = requests.PreparedRequest()
        request.url = url
        pool: Any = self._adapter.get_connection_with_tls_context(
            request, settings["verify"], proxies=proxies
        )
        forwarded = self._adapter.request_url(request, proxies) != request.path_url
        return Route(pool, forwarded, issubclass(pool.ConnectionCls, Watched))


def prepared(url: str) -> str:
    """A URL as it is asked for: quoted, its host in ASCII.

    Raises:
        ValueError: not an http(s) URL.
    """
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    if request.url is None or not request.url.startswith(("http://", "https://")):
        raise requests.exceptions.InvalidSchema("not an http(s) URL")
    return request.url


class _Adapter(requests.adapters.HTTPAdapter):
    """Makes pools whose connections share what costs most to make: certificates are read once, not for each connection."""

    def __init__(self, *, public_only: bool) -> None:
        self._public_only = public_only
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        super().__init__(_ORIGINS, PARALLEL)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = _PUBLIC_POOLS if self._public_only else _POOLS

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context(verify)} if host["scheme"] == "https" else {}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy.lower().startswith("https:"):
            settings = requests.Session().merge_environment_settings(proxy, {}, None, None, None)
            options["proxy_ssl_context"] = self._context(settings["verify"])
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def _context(self, verify: object) -> ssl.SSLContext:
        """Settings of TLS, made once.

        Args:
            verify: the bundle or folder of the authorities that count, where the environment names one; else certifi's count.
        """
        bundle = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
        with self._lock:
            if bundle not in self._contexts:
                self._contexts[bundle] = create_context(bundle)
            return self._contexts[bundle]


def create_context(bundle: str) -> ssl.SSLContext:
    """Settings of TLS that require a certificate for the host's name by one of the authorities in a bundle or folder.

    Raises:
        OSError: they cannot be read.
    """
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    if Path(bundle).is_dir():
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(cafile=bundle)
    return context


class Watched(urllib3.connection.HTTPConnection):
    """A connection that tells the call under way what it waits for. It is made in another thread, since nothing ends a wait for a name."""

    def connect(self) -> None:
        """Connect within the deadline of the call."""
        call = watching()
        if call is None:
            super().connect()
            return
        within(call.deadline, call.url, self._connect)
        call.hold(self._stop)

    def _connect(self, cancelled: threading.Event) -> None:
        super().connect()
        if cancelled.is_set():  # nobody waits for it any more
            self.close()

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request."""
        call = watching()
        if call is not None:
            call.hold(self._stop)
        super().request(*arguments, **options)

    def _stop(self) -> None:
        """End what waits for the socket."""
        if self.sock is not None:
            self.sock.shutdown(_BOTH_WAYS)


class _WatchedTLS(Watched, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = Watched


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class _PublicConnection(Watched):
    def _new_conn(self) -> socket.socket:
        return _public(super()._new_conn(), self)


class _PublicTLSConnection(_WatchedTLS):
    def _new_conn(self) -> socket.socket:
        return _public(super()._new_conn(), self)


class _PublicPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicTLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PublicTLSConnection


_POOLS: Final = {"http": _Pool, "https": _TLSPool}
_PUBLIC_POOLS: Final = {"http": _PublicPool, "https": _PublicTLSPool}


def _public(connected: socket.socket, connection: urllib3.connection.HTTPConnection) -> socket.socket:
    """The socket, if the address at its other end is one of the internet's: a host name may lead anywhere, after a redirect too."""
    address = ipaddress.ip_address(str(connected.getpeername()[0]).partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_global and not address.is_multicast and str(address) not in _PLATFORMS:
        return connected
    connected.close()
    raise urllib3.exceptions.NewConnectionError(connection, NOT_PUBLIC)
