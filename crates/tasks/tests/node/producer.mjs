// A producer of BullMQ's: node producer.mjs URL PREFIX QUEUE. Adds jobs of three forms, waits for their ends as BullMQ
// does, and prints what it saw, a line of JSON each.
import { Queue, QueueEvents } from 'bullmq';
import IORedis from 'ioredis';

const [url, prefix, name] = process.argv.slice(2);
const connection = new IORedis(url, { maxRetriesPerRequest: null });
const queue = new Queue(name, { connection, prefix });
const events = new QueueEvents(name, { connection: connection.duplicate(), prefix });
await events.waitUntilReady();
const jobs = [
  await queue.add('sum.v1', { n: 20, how: 'plain' }, { attempts: 3 }),
  await queue.add('sum.v1', { n: 30, how: 'priority' }, { priority: 5 }),
  await queue.add('sum.v1', { n: 40, how: 'delayed' }, { delay: 300 }),
  await queue.add('fail.v1', { n: 0, how: 'failing' }),
];
for (const job of jobs) {
  let seen;
  try {
    seen = { returnvalue: await job.waitUntilFinished(events, 20000) };
  } catch (error) {
    seen = { error: error.message };
  }
  const after = await queue.getJob(job.id);
  console.log(JSON.stringify({
    id: job.id, how: job.data.how, ...seen, state: await after.getState(), progress: after.progress,
    attempts: after.attemptsMade,
  }));
}
await events.close();
await queue.close();
process.exit(0);
