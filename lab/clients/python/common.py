"""Parts that all clients share: jobs, bodies, TLS and names of errors."""

import hashlib
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

# Seconds without a byte after which a try has failed.
TIMEOUT = 20
# Bytes of a body that are handed over at a time.
PIECE = 64 * 1024


@dataclass
class Job:
    """One line of the file: a request, and how often it is made."""

    job: int
    does: str
    method: str
    url: str
    body: str
    size: int
    gzip: bool
    expect: bool
    times: int
    tries: int
    tls: str
    http: str
    name: str
    field: str

    @property
    def address(self):
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname, parts.port

    @property
    def target(self):
        """Path and query."""
        parts = urlsplit(self.url)
        return parts.path + ("?" + parts.query if parts.query else "")

    def fields(self):
        """Fields of the request that no client sets by itself."""
        fields = {}
        if self.gzip:
            fields["Accept-Encoding"] = "gzip"
        return fields

    def content(self):
        """The whole body, or None."""
        return pattern(self.size) if self.body == "plain" else None

    def pieces(self):
        """The body in pieces."""
        whole = pattern(self.size)
        for start in range(0, len(whole), PIECE):
            yield whole[start : start + PIECE]

    def context(self):
        """TLS of the version that is asked for. Which certificate is shown is not what is judged."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if self.tls:
            version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[self.tls]
            context.minimum_version = context.maximum_version = version
        return context


def read_jobs(path):
    """Every job of a file: `name=value`, with tabs between them."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            words = dict(part.split("=", 1) for part in line.rstrip("\n").split("\t"))
            for number in ("job", "size", "times", "tries"):
                words[number] = int(words[number])
            for flag in ("gzip", "expect"):
                words[flag] = words[flag] == "true"
            yield Job(**words)


def pattern(size):
    """The bytes 0 to 250 again and again: a byte that is missing shows."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def digest(content):
    """Length and hash of a response's content."""
    return {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def error_name(error):
    """The error that the others were made of, with its system error if it has one."""
    seen = error
    while True:
        inner = seen.__cause__ or nested(seen)
        if inner is None:
            break
        seen = inner
    name = type(seen).__name__
    if isinstance(seen, ssl.SSLError) and seen.reason:
        name = f"{name} {seen.reason}"
    return name if seen is error else f"{type(error).__name__} ({name})"


def nested(error):
    """An exception that another one carries as its argument or reason."""
    inner = [getattr(error, "reason", None), *getattr(error, "args", [])]
    return next((one for one in inner if isinstance(one, BaseException)), None)
