// The http and https modules: they write the whole body before they look at the response.
import http from "node:http";
import https from "node:https";
import { gunzipSync } from "node:zlib";

const TIMEOUT = 20_000;
const PIECE = 64 * 1024;

export class Session {
  sockets = new Set();
  resumed = false;

  constructor(job) {
    this.job = job;
    this.module = job.tls ? https : http;
    // An agent that keeps no connection still keeps TLS sessions.
    this.agent = new this.module.Agent({ keepAlive: job.does !== "resume" });
  }

  request() {
    const { job } = this;
    const headers = {};
    if (job.gzip) headers["accept-encoding"] = "gzip";
    if (job.expect) headers.expect = "100-continue";
    if (job.body === "plain") headers["content-length"] = job.size;
    return new Promise((resolve, reject) => {
      const options = { method: job.method, headers, agent: this.agent, timeout: TIMEOUT };
      const request = this.module.request(job.url, options, (response) => {
        this.resumed = Boolean(response.socket.isSessionReused?.());
        collect(response, resolve, reject);
      });
      request.on("socket", (socket) => this.sockets.add(socket));
      request.on("timeout", () => request.destroy(Object.assign(new Error(), { code: "timeout" })));
      request.on("error", reject);
      if (job.expect) {
        request.on("continue", () => this.write(request));
        request.flushHeaders();
      } else {
        this.write(request);
      }
    });
  }

  write(request) {
    const { body, content } = this.job;
    if (body !== "chunked") return request.end(content);
    for (let at = 0; at < content.length; at += PIECE) request.write(content.subarray(at, at + PIECE));
    request.end();
  }

  seen() {
    return { connections: this.sockets.size, resumed: this.resumed };
  }

  close() {
    this.agent.destroy();
  }
}

function collect(response, resolve, reject) {
  const pieces = [];
  response.on("data", (piece) => pieces.push(piece));
  response.on("error", reject);
  response.on("end", () => {
    const whole = Buffer.concat(pieces);
    const zipped = response.headers["content-encoding"] === "gzip";
    resolve({ status: response.statusCode, content: zipped ? gunzipSync(whole) : whole });
  });
}
