"""Several hosts on one machine: network namespaces, each with a loopback and an address of its own, on one bridge.

Linux and root only. The programs share processors and disk, so this shows that nothing relies on one shared network,
and what a network between the programs costs; it does not show what more machines would bring.
"""

import contextlib
import os
import subprocess
import sys

# From the loopback's range, since any other address requires TLS. Only the routes of a network make such an address
# local, and here they lead over the bridge.
ADDRESS = "127.77.0.1"
_LOOPBACK = (
    "sysctl -q -w net.ipv4.conf.all.route_localnet=1",
    "ip link set lo up",
    "ip address add 127.0.0.1/32 dev lo",
    "ip address delete 127.0.0.1/8 dev lo",
)
_APART = "BENCHMARK_NETWORK"


def leave_this_network():
    """Restart this program in a network of its own, which ends with it; all hosts reach it at ADDRESS."""
    if _APART not in os.environ:
        again = [sys.executable, "-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]]
        os.execvpe("unshare", ["unshare", "--net", *again], os.environ | {_APART: "1"})
    _make(
        *_LOOPBACK,
        "ip link add hub type bridge",
        f"ip address add {ADDRESS}/16 dev hub",
        "ip link set hub up",
    )


@contextlib.contextmanager
def host(number):
    """Yield the words to put before a command so that it starts on the host with this number."""
    with subprocess.Popen(
        ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdin.write(b"\n")  # once the echo comes back, the namespace exists
        holder.stdin.flush()
        holder.stdout.read(1)
        there = f"nsenter --net --target {holder.pid}"
        wires = (
            f"ip link add host{number} type veth peer name wire netns {holder.pid}",
            f"ip link set host{number} master hub up",
        )
        inside = (*_LOOPBACK, f"ip address add 127.77.1.{number}/16 dev wire", "ip link set wire up")
        _make(*wires, *(f"{there} {line}" for line in inside))
        yield there.split()


def _make(*lines):
    for line in lines:
        subprocess.run(line.split(), check=True)
