"""A program without a network: it reaches nothing but 127.0.0.1, and there only the ports that it is given.

On Linux the program runs in a network namespace of its own with just the loopback interface. As it cannot see the
servers of the test process there, this module, run as a script within the namespace, opens a listening socket for each
of their ports and hands it out to the test process, which carries what arrives over to the server. A user namespace
makes that possible for everyone, not only for root.

Where the system does not let one make namespaces (`why_not` says it), proxy settings that lead nowhere stand in:
whatever asks by HTTP fails, Git too. A program that opens a connection of its own accord is not stopped then.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_PIECE = 64 * 1024
_WITHIN = (sys.executable, "-I", __file__)
NOWHERE = "http://127.0.0.1:9"
_PROXIES = {
    **dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"), NOWHERE
    ),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
}


@functools.cache
def _unshare() -> tuple[list[str], str]:
    """The command that starts a program in a namespace of its own; none, and why, where that is not to be had."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return [], "network namespaces need Linux and unshare(1)"
    said = ""
    for rights in ([], ["--user", "--map-root-user"]):
        # Killed, it leaves nothing behind.
        command = ["unshare", *rights, "--net", "--pid", "--fork", "--kill-child", "--", *_WITHIN]
        done = subprocess.run([*command, "-", "true"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return command, ""
        said = done.stderr.strip().rpartition("\n")[2]
    return [], said


def why_not() -> str:
    """Why no network namespace can be made here; empty if one can."""
    return _unshare()[1]


@contextlib.contextmanager
def start_offline(
    command: Sequence[str], ports: Sequence[int], env: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Start a program that reaches only these ports of 127.0.0.1; it is killed with all it started when the block ends.

    Args:
        command: the program and its arguments.
        ports: where servers of this process listen.
        env: its whole environment.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, contextlib.ExitStack() as stack:
        if why_not():
            whole, environment = list(command), {**env, **_PROXIES}
        else:
            handed = ":".join(map(str, [theirs.fileno(), *ports]))
            whole, environment = [*_unshare()[0], handed, *command], dict(env)
        process = stack.enter_context(
            subprocess.Popen(
                whole,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        )
        stack.callback(_kill, process)
        theirs.close()
        if not why_not():
            stack.enter_context(_bridges(ours, ports))
        yield process


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)


@contextlib.contextmanager
def _bridges(ours: socket.socket, ports: Sequence[int]) -> Iterator[None]:
    """Carry connections from the sockets that the namespace hands out to the same ports here."""
    fds = socket.recv_fds(ours, 1, len(ports))[1] if ports else []
    if len(fds) != len(ports):
        raise RuntimeError("the namespace hands out no sockets")
    listening = [socket.socket(fileno=fd) for fd in fds]
    threads = [
        threading.Thread(target=_accept, args=(each, port), daemon=True)
        for each, port in zip(listening, ports, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for each in listening:
            each.shutdown(socket.SHUT_RDWR)  # wakes accept()
            each.close()
        for thread in threads:
            thread.join()


def _accept(listening: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):  # closed: the end
        while True:
            near = listening.accept()[0]
            threading.Thread(target=_carry, args=(near, port), daemon=True).start()


def _carry(near: socket.socket, port: int) -> None:
    with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as far:
        to = {near: far, far: near}
        while to:
            for source in select.select(list(to), [], [])[0]:
                data = source.recv(_PIECE)
                if data:
                    to[source].sendall(data)
                else:
                    to.pop(source).shutdown(socket.SHUT_WR)


def _within(handed: str, command: Sequence[str]) -> None:
    """What runs in the namespace: loopback up, sockets out, and the program in this process's place."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    if handed != "-":
        fd, *ports = map(int, handed.split(":"))
        listening = [socket.create_server(("127.0.0.1", port)) for port in ports]
        with socket.socket(fileno=fd) as out:
            socket.send_fds(out, [b"."], [each.fileno() for each in listening])
    os.execvp(command[0], list(command))


if __name__ == "__main__":
    _within(sys.argv[1], sys.argv[2:])
