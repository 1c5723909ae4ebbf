// graphile-worker beside us, driven over standard input: one command a line in, one JSON object a line out.
//   dispatch N            N samples: addJob called -> first instruction of the handler, milliseconds; the row is committed before a worker sees it
//   noop N CONCURRENCY    N jobs added one commit each by 16 producers while the worker runs them; jobs a second until the last one is complete
//   batched N CONCURRENCY the same with its local queue and batched completion: fewer, larger commits
//   spawn N CONCURRENCY   as noop, and every handler starts /bin/true and waits for it
//   drain N CONCURRENCY   N jobs added in one statement beforehand, as its own perfTest does; jobs a second of running them only
// Environment: DATABASE_URL, NODE_PATH (where graphile-worker is installed).
"use strict";
const { run, makeWorkerUtils, Logger, runMigrations } = require("graphile-worker");
const { Pool } = require("pg");
const { spawn } = require("node:child_process");
const readline = require("node:readline");

const quiet = new Logger(() => () => {});
const producers = 16;
const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 40 });
pool.on("error", (error) => console.error(error));
pool.on("connect", (client) => client.on("error", (error) => console.error(error)));
const onJob = { handler: () => {} };
let work = null;
const taskList = { probe: (payload) => (work ? work().then(() => onJob.handler(payload)) : onJob.handler(payload)) };
const shared = { pgPool: pool, noHandleSignals: true, logger: quiet, crontab: "" };
const seconds = (from) => Number(process.hrtime.bigint() - from) / 1e9;

async function dispatch(count) {
  const utils = await makeWorkerUtils({ pgPool: pool, logger: quiet });
  const runner = await run({ ...shared, taskList, concurrency: 1 });
  const ms = [];
  for (let i = -20; i < count; i++) {
    let seen;
    const handled = new Promise((resolve) => {
      onJob.handler = () => {
        seen = process.hrtime.bigint();
        resolve();
      };
    });
    const from = process.hrtime.bigint();
    await Promise.all([utils.addJob("probe", { i }), handled]);
    if (i >= 0) ms.push(Number(seen - from) / 1e6);
    // Until its completion is committed: the next sample meets an idle worker, as ours does.
    await settled();
  }
  await runner.stop();
  await utils.release();
  return { ms };
}

async function settled() {
  while (Number((await pool.query("select count(*) as n from graphile_worker._private_jobs")).rows[0].n) > 0);
}

async function finishedAfter(count, start) {
  let left = count;
  const done = new Promise((resolve) => {
    onJob.handler = () => {
      if (--left === 0) resolve();
    };
  });
  const from = process.hrtime.bigint();
  const runner = await start();
  await done;
  await settled();
  const perSecond = count / seconds(from);
  await runner.stop();
  return { perSecond };
}

async function noop(count, concurrency, preset) {
  const utils = await makeWorkerUtils({ pgPool: pool, logger: quiet });
  const runner = await run({ ...shared, taskList, concurrency: Number(concurrency), preset });
  let next = 0;
  const produce = async () => {
    while (next < count) await utils.addJob("probe", { i: next++ });
  };
  const result = await finishedAfter(count, async () => {
    await Promise.all(Array.from({ length: producers }, produce));
    return runner;
  });
  await utils.release();
  return result;
}

async function commands(count, concurrency) {
  work = () => new Promise((resolve, reject) => spawn("/bin/true", { stdio: "ignore" }).on("error", reject).on("exit", resolve));
  try {
    return await noop(count, concurrency);
  } finally {
    work = null;
  }
}

async function drain(count, concurrency) {
  await pool.query("select graphile_worker.add_job('probe', json_build_object('i', i)) from generate_series(1, $1) as i", [count]);
  return finishedAfter(count, () => run({ ...shared, taskList, concurrency: Number(concurrency) }));
}

const verbs = {
  dispatch,
  noop,
  drain,
  spawn: commands,
  batched: (count, concurrency) =>
    noop(count, concurrency, { worker: { concurrentJobs: Number(concurrency), localQueue: { size: 2 * concurrency, refetchDelay: { durationMs: 0 } }, completeJobBatchDelay: 0 } }),
};

async function main() {
  await runMigrations({ pgPool: pool, logger: quiet });
  console.log(JSON.stringify({ ready: true, version: require("graphile-worker/package.json").version, node: process.version }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [verb, count, ...rest] = line.trim().split(" ");
    console.log(JSON.stringify(await verbs[verb](Number(count), ...rest)));
  }
  await pool.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
