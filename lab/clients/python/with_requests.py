"""requests, over urllib3."""

import requests
import urllib3
from requests.adapters import HTTPAdapter

from common import TIMEOUT

urllib3.disable_warnings()


class Adapter(HTTPAdapter):
    """Gives every pool the job's TLS."""

    def __init__(self, context):
        self.context = context
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, ssl_context=self.context, **kwargs)


class Session:
    """A session with its pools."""

    def __init__(self, job):
        self.job = job
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = False
        self.adapter = Adapter(job.context())
        self.session.mount("https://", self.adapter)
        if not job.tls:
            self.session.mount("http://", self.adapter)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()

    def request(self):
        job = self.job
        data = job.pieces() if job.body == "chunked" else job.content()
        response = self.session.request(
            job.method, job.url, data=data, headers=job.fields(), timeout=TIMEOUT, allow_redirects=False
        )
        return response.status_code, response.content

    def connections(self):
        pools = self.adapter.poolmanager.pools
        return sum(pools[key].num_connections for key in pools.keys())
