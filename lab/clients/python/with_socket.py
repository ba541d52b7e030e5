"""The bare socket, for programs that speak HTTP by hand: they half-close, send odd fields and keep TLS sessions."""

import socket
import ssl

from common import TIMEOUT, digest

# The first bytes of a body that comes slowly: enough to know that it has begun.
BEGUN = 10


class Connection:
    """TCP, or TLS over it whose records go through memory: only so can close_notify be sent and more be read."""

    def __init__(self, job, session=None):
        self.tcp = socket.create_connection(job.address, TIMEOUT)
        self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = None
        if job.tls:
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            name = job.name or job.address[0]
            context = session[0] if session else job.context()
            self.tls = context.wrap_bio(
                self.incoming, self.outgoing, server_hostname=name, session=session and session[1]
            )
            self.context = context
            self.until(self.tls.do_handshake)

    def until(self, call):
        """Calls until TLS wants nothing more from the network."""
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.tcp.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            finally:
                self.flush()

    def flush(self):
        if self.outgoing.pending:
            self.tcp.sendall(self.outgoing.read())

    def send(self, data):
        if not self.tls:
            return self.tcp.sendall(data)
        self.tls.write(data)
        self.flush()

    def receive(self):
        if not self.tls:
            return self.tcp.recv(65536)
        try:
            return self.until(lambda: self.tls.read(65536))
        except ssl.SSLZeroReturnError:
            return b""

    def half_close(self):
        """Sends FIN, after close_notify over TLS."""
        if self.tls:
            try:
                self.tls.unwrap()
            except ssl.SSLWantReadError:
                pass
            self.flush()
        self.tcp.shutdown(socket.SHUT_WR)

    def close(self):
        self.tcp.close()


def head(job):
    """The request's head, with a field that no client has a setting for."""
    host, port = job.address
    lines = [f"{job.method} {job.target} HTTP/1.1", f"Host: {job.name or host}:{port}"]
    if job.field:
        lines.append(job.field)
    if job.expect:
        lines.append("Expect: 100-continue")
    if job.body == "plain":
        lines.append(f"Content-Length: {job.size}")
    return "".join(line + "\r\n" for line in lines).encode() + b"\r\n"


def read_head(connection, data):
    """Reads to the end of a head; gives its status, its fields and what came behind it."""
    while b"\r\n\r\n" not in data:
        more = connection.receive()
        if not more:
            raise EOFError(f"end after {len(data)} bytes")
        data += more
    written, rest = data.split(b"\r\n\r\n", 1)
    status, *lines = written.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    return int(status.split(" ")[1]), fields, rest


def read_response(connection, data=b"", begun=None):
    """Reads one final response; `begun` is called once a part of its content is there."""
    status, fields, content = read_head(connection, data)
    if status < 200:
        return read_response(connection, content, begun)
    length = int(fields["content-length"])
    while len(content) < length:
        if begun and len(content) >= BEGUN:
            begun()
            begun = None
        more = connection.receive()
        if not more:
            raise EOFError(f"{len(content)} of {length} bytes")
        content += more
    return status, content


def attempt(job):
    connection = Connection(job)
    try:
        return HABITS[job.does](job, connection)
    except EOFError as error:
        return {"error": str(error)}
    finally:
        connection.close()


def request(job, connection):
    connection.send(head(job))
    if job.expect:
        status, _, content = read_head(connection, b"")
        if status != 100:
            return {"statuses": [status], **digest(content)}
    if job.body == "plain":
        for piece in job.pieces():
            connection.send(piece)
    status, content = read_response(connection)
    return {"statuses": [status], **digest(content)}


def half_close(job, connection):
    connection.send(head(job))
    connection.half_close()
    status, content = read_response(connection)
    return {"statuses": [status], **digest(content)}


def half_close_stream(job, connection):
    connection.send(head(job))
    status, content = read_response(connection, begun=connection.half_close)
    return {"statuses": [status], **digest(content)}


def resume(job, connection):
    connection.send(head(job))
    first, _ = read_response(connection)
    again = Connection(job, (connection.context, connection.tls.session))
    try:
        again.send(head(job))
        second, content = read_response(again)
        return {"statuses": [first, second], **digest(content), "resumed": again.tls.session_reused}
    finally:
        again.close()


HABITS = {
    "request": request,
    "half-close": half_close,
    "half-close-stream": half_close_stream,
    "resume": resume,
}
