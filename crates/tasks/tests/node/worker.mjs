// A worker of BullMQ's: node worker.mjs URL PREFIX QUEUE. Doubles n, fails for "bad"; ends when its input does.
import { Worker } from 'bullmq';
import IORedis from 'ioredis';

const [url, prefix, queue] = process.argv.slice(2);
const connection = new IORedis(url, { maxRetriesPerRequest: null });
const work = async (job) => {
  if (job.name === 'bad.v1') throw new Error('no such thing');
  await job.updateProgress(50);
  return { doubled: job.data.n * 2, name: job.name, attempts: job.opts.attempts };
};
const worker = new Worker(queue, work, { connection, prefix });
worker.on('error', (error) => console.error(String(error)));
await worker.waitUntilReady();
console.log('ready');
process.stdin.on('end', async () => {
  await worker.close();
  connection.disconnect();
  process.exit(0);
});
process.stdin.resume();
