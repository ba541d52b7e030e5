// The global fetch, with the one pool of connections that it has.
import { subscribe } from "node:diagnostics_channel";

const TIMEOUT = 20_000;
const PIECE = 64 * 1024;

let connected = 0;
subscribe("undici:client:connected", () => (connected += 1));

export class Session {
  constructor(job) {
    this.job = job;
    this.before = connected;
  }

  async request() {
    const { job } = this;
    const options = { method: job.method, redirect: "manual", signal: AbortSignal.timeout(TIMEOUT) };
    if (job.body === "plain") options.body = job.content;
    if (job.body === "chunked") Object.assign(options, { body: pieces(job.content), duplex: "half" });
    const response = await fetch(job.url, options);
    return { status: response.status, content: Buffer.from(await response.arrayBuffer()) };
  }

  // None where a connection that an earlier try left was taken.
  seen() {
    return { connections: Math.max(connected - this.before, 1) };
  }

  close() {}
}

function pieces(content) {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= content.length) return controller.close();
      controller.enqueue(content.subarray(at, at + PIECE));
      at += PIECE;
    },
  });
}
