"""httpx, over httpcore and h11."""

import httpx

from common import TIMEOUT


class Session:
    """A client with its pool."""

    def __init__(self, job):
        self.job = job
        self.ports = set()
        self.client = httpx.Client(verify=job.context(), timeout=TIMEOUT, trust_env=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def request(self):
        job = self.job
        content = job.pieces() if job.body == "chunked" else job.content()
        with self.client.stream(job.method, job.url, content=content, headers=job.fields()) as response:
            self.ports.add(response.extensions["network_stream"].get_extra_info("client_addr"))
            return response.status_code, response.read()

    def connections(self):
        return len(self.ports)
