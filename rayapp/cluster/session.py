"""One connection to Ray: to a cluster that runs already, or to a private one on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType

from envs import InputError

# Ray reads this when it is imported; despite its name, 0 keeps Ray to the loopback interface on
# every system. An address of 127.0.0.1 given to ray.init() would not: Ray takes another instead.
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

Announce = Callable[[str], contextlib.AbstractContextManager[None]]
"""Called with what is about to happen; the context it returns lasts as long as that does."""


@contextlib.contextmanager
def ray_session(
    address: str | None = None,
    announce: Announce = lambda title: contextlib.nullcontext(),
) -> Iterator[str]:
    """Connects to Ray while the block lasts.

    A cluster is named by ``address``, or by ``RAY_ADDRESS``, which ``ray job submit`` sets. Without
    either a local Ray is started: it listens on the loopback interface alone, wants a token that
    only this process and its children know, and has no dashboard.

    SIGTERM, which ``ray job stop`` sends, raises ``KeyboardInterrupt`` as Ctrl-C does.

    Args:
        address: ``HOST:PORT``, or what else ``ray.init()`` takes.
        announce: shows that Ray is being started or connected to.

    Yields:
        The dashboard's ``HOST:PORT``, or an empty string where there is none.

    Raises:
        InputError: no cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray announces a change of a default that nothing here depends on.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    local = not address
    if local and "ray" not in sys.modules:
        _keep_to_this_machine()
    elif "ray" not in sys.modules and _host(address) in {"127.0.0.1", "localhost"}:
        os.environ.setdefault(_LOOPBACK, "0")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="ray")
    import ray

    for name in ("ray", "ray.rllib", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with announce("Starting Ray" if local else "Connecting to Ray"), _explained(address):
        context = ray.init(
            # Without "local" Ray would join any cluster that it finds on this machine.
            address=address or "local",
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        with _interruptible():
            yield context.dashboard_url or ""
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Lets SIGTERM interrupt, where Ray's own handler would end the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _explained(address: str | None) -> Iterator[None]:
    """Turns a failure to connect to a named cluster into one clear error."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdigit() and int(port) < 2**16:
            # Ray itself would try for minutes.
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        yield
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        if not address:
            raise
        raise InputError(
            f"no Ray cluster answers ({type(error).__name__})",
            where=address,
            expected="the address of a running cluster, HOST:PORT",
            mend="Check --address or RAY_ADDRESS, and the cluster's token",
        ) from error


def _host(address: str | None) -> str:
    return (address or "").removeprefix("ray://").rpartition(":")[0]


def _keep_to_this_machine() -> None:
    os.environ.setdefault(_LOOPBACK, "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if not os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
