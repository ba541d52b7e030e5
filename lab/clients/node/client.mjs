// Runs jobs with Node's http or http2 module or its fetch and prints one line of JSON for each try.
//
//     node client.mjs http|http2|fetch JOBS
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as fetching from "./fetch.mjs";
import * as http from "./http.mjs";
import * as http2 from "./http2.mjs";

const [which, path] = process.argv.slice(2);
const client = { fetch: fetching, http, http2 }[which];

// Name=value pairs with tabs between them, a job on each line.
function readJobs(path) {
  const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => {
    const job = Object.fromEntries(line.split("\t").map((pair) => pair.split(/=(.*)/s).slice(0, 2)));
    for (const number of ["job", "size", "times", "tries"]) job[number] = Number(job[number]);
    for (const flag of ["gzip", "expect"]) job[flag] = job[flag] === "true";
    return job;
  });
}

// The bytes 0 to 250 again and again: a byte that is missing shows.
function pattern(size) {
  return Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, at) => at)));
}

async function attempt(job) {
  const session = new client.Session(job);
  const statuses = [];
  let content;
  try {
    // All at once, or one after the other.
    const asked = job.does === "at-once" ? Array.from({ length: job.times }, () => session.request()) : undefined;
    for (let time = 0; time < job.times; time++) {
      const response = await (asked ? asked[time] : session.request());
      if (asked && content && !content.equals(response.content)) throw new Error("contents differ");
      statuses.push(response.status);
      content = response.content;
    }
    const sha256 = createHash("sha256").update(content).digest("hex");
    return { statuses, length: content.length, sha256, ...session.seen() };
  } catch (error) {
    return { error: error.cause?.code ?? error.code ?? String(error.cause ?? error) };
  } finally {
    session.close();
  }
}

for (const job of readJobs(path)) {
  job.content = job.body === "none" ? undefined : pattern(job.size);
  for (let time = 0; time < job.tries; time++) {
    console.log(JSON.stringify({ job: job.job, ...(await attempt(job)) }));
  }
}
process.exit();
