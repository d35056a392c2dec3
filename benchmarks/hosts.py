"""Several hosts on one machine: network namespaces, each with a loopback and an address of its own, on one bridge.

Linux and root only. The programs share processors and disk, so what they show is that nothing counts on one network,
and what a network between them costs; never what more machines would bring.
"""

import contextlib
import os
import subprocess
import sys

# Of the loopback's range, as no other address may be spoken to without TLS. What makes an address local is the
# network's routes alone, and here these lead over the bridge.
ADDRESS = "127.77.0.1"
_LOOPBACK = (
    "sysctl -q -w net.ipv4.conf.all.route_localnet=1",
    "ip link set lo up",
    "ip address add 127.0.0.1/32 dev lo",
    "ip address delete 127.0.0.1/8 dev lo",
)
_APART = "BENCHMARK_NETWORK"


def leave_this_network():
    """Start this program anew in a network of its own, which ends with it; at ADDRESS all hosts reach it."""
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
    """Yield the words that, before a command, start it on the host of that number."""
    with subprocess.Popen(
        ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdin.write(b"\n")  # once it comes back, the namespace is there
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
