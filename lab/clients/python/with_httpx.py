"""httpx, over httpcore and h11 or h2."""

import httpx

from common import TIMEOUT


class Session:
    """A client with its pool."""

    def __init__(self, job):
        self.job = job
        self.ports = set()
        self.version = ""
        http2 = job.http == "2"
        self.client = httpx.Client(
            verify=job.context(), timeout=TIMEOUT, trust_env=False, http1=not http2, http2=http2
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def request(self):
        job = self.job
        content = job.pieces() if job.body == "chunked" else job.content()
        with self.client.stream(job.method, job.url, content=content, headers=job.fields()) as response:
            self.ports.add(response.extensions["network_stream"].get_extra_info("client_addr"))
            self.version = {"HTTP/2": "2"}.get(response.http_version, response.http_version)
            return response.status_code, response.read()

    def connections(self):
        return len(self.ports)
