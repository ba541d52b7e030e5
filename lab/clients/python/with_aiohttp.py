"""aiohttp: reads while it writes."""

import asyncio

import aiohttp

from common import TIMEOUT


class Session:
    """A session on a loop of its own."""

    def __init__(self, job):
        self.job = job
        self.made = 0
        self.loop = asyncio.new_event_loop()
        self.session = self.loop.run_until_complete(self.open())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.run_until_complete(self.session.close())
        self.loop.close()

    async def open(self):
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self.count)
        connector = aiohttp.TCPConnector(ssl=self.job.context())
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, trace_configs=[trace])

    async def count(self, *_):
        self.made += 1

    async def pieces(self):
        for piece in self.job.pieces():
            yield piece

    def request(self):
        return self.loop.run_until_complete(self.send())

    async def send(self):
        job = self.job
        data = self.pieces() if job.body == "chunked" else job.content()
        request = self.session.request(
            job.method,
            job.url,
            data=data,
            headers=job.fields(),
            expect100=job.expect,
            allow_redirects=False,
        )
        async with request as response:
            return response.status, await response.read()

    def connections(self):
        return self.made
