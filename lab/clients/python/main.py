"""Runs jobs with one of Python's HTTP clients and prints one line of JSON for each try.

    main.py CLIENT JOBS

CLIENT is socket, http.client, requests, httpx, httpx-http2, aiohttp or websockets. JOBS is a file with one job on each line.
"""

import importlib
import json
import sys

from common import digest, error_name, read_jobs


def attempt(client, job):
    """Makes one try; an exception becomes the name of its error."""
    try:
        if hasattr(client, "attempt"):
            return client.attempt(job)
        with client.Session(job) as session:
            responses = [session.request() for _ in range(job.times)]
            statuses = [status for status, _ in responses]
            seen = {"statuses": statuses, **digest(responses[-1][1]), "connections": session.connections()}
            if hasattr(session, "version"):
                seen["version"] = session.version
            return seen
    except Exception as error:  # every error is a finding
        return {"error": error_name(error)}


def main():
    name, path = sys.argv[1:]
    module = name.removesuffix("-http2").replace(".", "_")
    client = importlib.import_module("with_" + module)
    for job in read_jobs(path):
        for _ in range(job.tries):
            print(json.dumps({"job": job.job, **attempt(client, job)}), flush=True)


if __name__ == "__main__":
    main()
