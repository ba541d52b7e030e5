// The http2 module: one session for each try, with prior knowledge in clear text and by ALPN over TLS.
import { connect, constants } from "node:http2";
import { gunzipSync } from "node:zlib";

const TIMEOUT = 20_000;
const PIECE = 64 * 1024;

export class Session {
  trailer = undefined;

  constructor(job) {
    this.job = job;
    const { origin, pathname, search } = new URL(job.url);
    this.path = pathname + search;
    this.session = connect(origin);
    // A request that waits for it has the error as well.
    this.session.on("error", () => {});
  }

  request() {
    const { job } = this;
    const headers = { ":method": job.method, ":path": this.path };
    if (job.gzip) headers["accept-encoding"] = "gzip";
    if (job.expect) headers.expect = "100-continue";
    if (job.body === "plain") headers["content-length"] = job.size;
    return new Promise((resolve, reject) => {
      const stream = this.session.request(headers, { endStream: job.body === "none" });
      stream.setTimeout(TIMEOUT, () => {
        reject(Object.assign(new Error(), { code: "timeout" }));
        stream.close(constants.NGHTTP2_CANCEL);
      });
      stream.on("trailers", (trailers) => (this.trailer = trailers["x-trailer"]));
      collect(stream, resolve, reject);
      if (job.body === "none") return;
      if (job.expect) {
        stream.on("continue", () => this.write(stream));
      } else {
        this.write(stream);
      }
    });
  }

  write(stream) {
    const { body, content } = this.job;
    if (body !== "chunked") return stream.end(content);
    for (let at = 0; at < content.length; at += PIECE) stream.write(content.subarray(at, at + PIECE));
    stream.end();
  }

  // Its only connection, and no other version than this.
  seen() {
    return { connections: 1, version: "2", trailer: this.trailer };
  }

  close() {
    this.session.destroy();
  }
}

function collect(stream, resolve, reject) {
  const pieces = [];
  let head;
  stream.on("response", (fields) => (head = fields));
  stream.on("data", (piece) => pieces.push(piece));
  stream.on("error", reject);
  stream.on("end", () => {
    if (!head) return;
    const whole = Buffer.concat(pieces);
    const zipped = head["content-encoding"] === "gzip";
    resolve({ status: head[":status"], content: zipped ? gunzipSync(whole) : whole });
  });
  stream.on("close", () => reject(Object.assign(new Error(), { code: `closed with ${stream.rstCode}` })));
}
