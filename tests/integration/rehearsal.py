"""The sandbox as tests use it: the real server in a process of its own, pictures to send, and waiting."""

import base64
import io
import json
import os
import signal
import ssl
import subprocess
import time
from pathlib import Path

import httpx
from PIL import Image

from tests import programs

ROOT = Path(__file__).parents[2]
TLS = ssl.create_default_context()  # to make one for each call costs more than the call, and none needs it


class Sandbox:
    """One running sandbox; `url` ends in /v1, `token` is one that it takes."""

    token = "rehearsal"

    def __init__(self, state, **options):
        self.state = state
        self.options = options
        self.start()

    def start(self):
        command = ["sandbox", "--state", str(self.state), "--parent-pid", str(os.getpid())]
        for name, value in ({"port": 0, "latency": 0, "output_size": 64} | self.options).items():
            if name == "faults":
                command += [f"--fault={fault}={share}" for fault, share in value.items()]
            else:
                command += [f"--{name.replace('_', '-')}", str(value)]
        self.process = programs.Program(*command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().removeprefix("sandbox listening on ").strip()
        assert self.url, "the sandbox did not start"

    def stop(self, number=signal.SIGTERM):
        """End it and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        self.process.stdout.close()
        return status

    def restart(self, number=signal.SIGKILL):
        """End it and start it again with the same state; its port, and so its `url`, is another then."""
        self.stop(number)
        self.start()

    def ledger(self):
        """What was accepted: one line each, oldest first."""
        return [json.loads(line) for line in (self.state / "ledger.jsonl").read_text().splitlines()]

    def client(self, timeout=30):
        """An HTTP client with this sandbox's base URL and token."""
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, verify=TLS, timeout=timeout)

    def control(self, name, body=None):
        """Call one of `heal`, `faults`, `stats`."""
        url = f"{self.url.removesuffix('/v1')}/_{name}"
        method = "GET" if name == "stats" else "POST"
        return httpx.request(method, url, json=body, trust_env=False, verify=TLS).raise_for_status().json()

    def faults(self, **shares):
        """Set some faults: all of them are off after `heal`."""
        return self.control("faults", shares)

    def heal(self):
        return self.control("heal")

    def stats(self):
        return self.control("stats")


def png(width=96, height=80, colour="teal"):
    """The bytes of a small picture."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def data_uri(content=None):
    return "data:image/png;base64," + base64.b64encode(content or png()).decode()


def fetch(url):
    """Get a URL as an output is got: without a token."""
    return httpx.get(url, trust_env=False, verify=TLS)


def eventually(look, seconds=30, every=0.02):
    """Return what `look` finds, trying again until it finds something true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(every)
    return found
