"""Certificates for tests, made on the spot: an authority, and what servers on loopback show."""

import ssl
import subprocess

_CONFIG = """
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
certificate = authority.pem
private_key = authority.key
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
x509_extensions = told
[told]
authorityKeyIdentifier = keyid
[any]
commonName = optional
"""
_HERE = "IP:127.0.0.1,DNS:localhost"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Whom the tests trust; ``path`` is its certificate."""

    def __init__(self, folder):
        self._folder = folder
        self.path = folder / "authority.pem"
        (folder / "openssl.cnf").write_text(_CONFIG)
        (folder / "index.txt").touch()
        # Python 3.13 and later look for it.
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._self_sign("authority", "/CN=An authority of the tests", *usage)

    def good(self):
        return self._issued("good", _HERE, "20200101000000Z", "20491231235959Z")

    def expired(self):
        return self._issued("expired", _HERE, "20200101000000Z", "20210101000000Z")

    def not_yet(self):
        return self._issued("not-yet", _HERE, "20480101000000Z", "20491231235959Z")

    def for_another_host(self):
        return self._issued("elsewhere", "DNS:other.example", "20200101000000Z", "20491231235959Z")

    def self_signed(self):
        self._self_sign("self-signed", "/CN=127.0.0.1", "-addext", f"subjectAltName={_HERE}")
        return self._context("self-signed")

    def _issued(self, name, hosts, start, end):
        request = ("-subj", "/CN=a server", "-addext", f"subjectAltName={hosts}")
        self._openssl("req", *_CURVE, "-keyout", f"{name}.key", "-out", f"{name}.csr", *request)
        dates = ("-startdate", start, "-enddate", end)
        self._openssl(
            "ca", "-batch", "-config", "openssl.cnf", "-in", f"{name}.csr", "-out", f"{name}.pem", *dates
        )
        return self._context(name)

    def _self_sign(self, name, subject, *more):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        self._openssl("req", "-x509", *_CURVE, *files, "-days", "3650", "-subj", subject, *more)

    def _context(self, name):
        """Return what a server needs to show this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        return context

    def _openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True)
