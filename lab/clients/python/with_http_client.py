"""http.client of the standard library: writes the whole request before it reads."""

import gzip
import http.client

from common import TIMEOUT


class Session:
    """One connection, which the client makes again when it was closed."""

    def __init__(self, job):
        self.job = job
        self.sockets = []
        host, port = job.address
        if job.tls:
            self.connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=job.context())
        else:
            self.connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def request(self):
        job = self.job
        body = job.pieces() if job.body == "chunked" else job.content()
        chunked = job.body == "chunked"
        self.connection.request(job.method, job.target, body, job.fields(), encode_chunked=chunked)
        if self.connection.sock not in self.sockets:
            self.sockets.append(self.connection.sock)
        response = self.connection.getresponse()
        content = response.read()
        if response.getheader("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        return response.status, content

    def connections(self):
        return len(self.sockets)
