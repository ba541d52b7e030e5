"""websockets: messages, fragments, pings and closes, one connection for each try."""

from websockets.sync.client import connect

from common import TIMEOUT, digest

# The backend's short text.
TEXT = "sixty bytes that every client has to see from end to end...\n"
PINGS = 3
# A code and a reason of an application (RFC 6455 section 7.4.2).
CODE, REASON = 4001, "that is all"


def attempt(job):
    context = job.context() if job.tls else None
    url = "ws" + job.url.removeprefix("http")
    with connect(url, ssl=context, max_size=None, proxy=None, open_timeout=TIMEOUT, close_timeout=TIMEOUT) as socket:
        status = socket.response.status_code
        if job.does == "websocket-pings":
            ping(socket)
        code, reason = (CODE, REASON) if job.does == "websocket-close" else (1000, "")
        content = echo(socket, messages(job))
        socket.close(code, reason)
        closed = socket.protocol.close_rcvd
        if closed is None or (closed.code, closed.reason) != (code, reason):
            return {"error": f"closed with {closed}, not {code} {reason}"}
        return {"statuses": [status], **digest(content)}


def messages(job):
    """The message, or its fragments."""
    if job.does == "websocket":
        return job.content()
    if job.does == "websocket-fragments":
        return list(job.pieces())
    return TEXT


def echo(socket, message):
    """Sends a message and receives it back, of the same kind."""
    socket.send(message)
    content = socket.recv(timeout=TIMEOUT)
    if isinstance(content, str) != isinstance(message, str):
        raise TypeError("a message of the other kind")
    return content.encode() if isinstance(content, str) else content


def ping(socket):
    """Waits for the pong of each ping, which has its content."""
    for number in range(PINGS):
        if not socket.ping(f"ping {number}").wait(TIMEOUT):
            raise TimeoutError("no pong")
