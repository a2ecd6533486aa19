import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Metrics } from '../../src/metrics.ts';
import { type Bench, createBench, task } from './fixture.ts';

describe('the text format', () => {
  it('has help, type and samples of every metric', async () => {
    const metrics = new Metrics();
    const counter = metrics.counter({
      name: 'things_total',
      help: 'Things.',
      labels: ['kind'],
      initial: [{ kind: 'a' }],
    });
    counter.inc({ kind: 'b"\\\n' }, 2);
    metrics.gauge({ name: 'depth', help: 'How deep it is.' }, () => 1.5);
    let count = 3;
    metrics.derivedCounter({ name: 'ends_total', help: 'Ends.' }, () => count);
    const histogram = metrics.histogram({ name: 'wait_seconds', help: 'Waiting.', buckets: [0.1, 1] });
    for (const value of [0.1, 0.5, 0.7, 20]) histogram.observe(value);
    await metrics.format();
    count = 4;
    expect((await metrics.format()).split('\n').filter((line) => line !== '')).toEqual([
      '# HELP things_total Things.',
      '# TYPE things_total counter',
      'things_total{kind="a"} 0',
      'things_total{kind="b\\"\\\\\\n"} 2',
      '# HELP depth How deep it is.',
      '# TYPE depth gauge',
      'depth 1.5',
      '# HELP ends_total Ends.',
      '# TYPE ends_total counter',
      'ends_total 4',
      '# HELP wait_seconds Waiting.',
      '# TYPE wait_seconds histogram',
      'wait_seconds_bucket{le="0.1"} 1',
      'wait_seconds_bucket{le="1"} 3',
      'wait_seconds_bucket{le="+Inf"} 4',
      'wait_seconds_sum 21.3',
      'wait_seconds_count 4',
    ]);
  });

  it('has no name twice', () => {
    const metrics = new Metrics();
    metrics.counter({ name: 'a', help: 'A.' });
    expect(() => metrics.gauge({ name: 'a', help: 'A.' }, () => 1)).toThrow('a has already been registered');
  });
});

describe('GET /metrics', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await createBench();
  });
  afterEach(() => bench.close());

  const read = async (name: string) => {
    const { body } = await bench.server.inject('/metrics');
    const line = body.split('\n').find((each) => each.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  };

  it('is text that Prometheus reads', async () => {
    const { headers, body } = await bench.server.inject('/metrics');
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const line of body.split('\n').filter((line) => line !== '')) {
      expect(line).toMatch(
        /^# (HELP|TYPE) \w+ .+$|^\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? ([\d.e+-]+|NaN|Nan)$/,
      );
    }
  });

  it('has what a dashboard asks of any process', async () => {
    const { body } = await bench.server.inject('/metrics');
    for (const name of [
      'process_resident_memory_bytes',
      'process_start_time_seconds',
      'process_cpu_seconds_total',
      'nodejs_eventloop_lag_seconds',
      'nodejs_heap_size_used_bytes',
      'nodejs_gc_duration_seconds',
      'retouch_connections',
      'retouch_request_bodies_bytes',
      ...(process.platform === 'linux' ? ['process_open_fds'] : []),
    ]) {
      expect(body).toContain(`# HELP ${name} `);
    }
  });

  it('counts images and steps', async () => {
    await bench.post([{ ...task, numberResults: 3 }]);
    expect(await read('retouch_images_total')).toBe(3);
    expect(await read('retouch_step_seconds_count')).toBe(3);
    expect(await read('retouch_step_seconds_bucket{le="0.01"}')).toBe(3);
    expect(await read('retouch_image_seconds_count')).toBe(3);
  });

  it('counts tasks that are refused, by type and first error, whatever they call themselves', async () => {
    const read = async () =>
      (await bench.server.inject('/metrics')).body
        .split('\n')
        .filter((line) => line.startsWith('retouch_tasks_refused_total'));
    expect(await read()).toEqual([]);
    const bad = { ...task, seed: -1, steps: 51 };
    await bench.post([bad, { ...bad, taskUUID: randomUUID() }, { taskType: 'ping', pang: 1 }, 7]);
    for (const taskType of ['imageInferense', 'constructor', 'x"} 1\n']) {
      await bench.post([{ ...task, taskType }]);
    }
    await bench.post([task, task]);
    expect(await read()).toEqual([
      'retouch_tasks_refused_total{type="imageInference",code="invalidSeed"} 2',
      'retouch_tasks_refused_total{type="ping",code="unknownParameter"} 1',
      'retouch_tasks_refused_total{type="unknown",code="invalidBody"} 1',
      'retouch_tasks_refused_total{type="unknown",code="unsupportedTaskType"} 3',
      'retouch_tasks_refused_total{type="imageInference",code="conflictTaskUUID"} 1',
    ]);
  });

  it('shows the depth of the queue', async () => {
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const working = bench.post([{ ...task, numberResults: 4 }]);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    expect(await read('retouch_queue_depth')).toBe(4);
    gate.resolve();
    await working;
    // A job leaves the queue after its answer.
    await expect.poll(() => read('retouch_queue_depth')).toBe(0);
  });
});

describe('GET /ready', () => {
  it('is 200, and 503 with Retry-After while the queue is full', async () => {
    const bench = await createBench({ 'queue-limit': '1' });
    try {
      expect((await bench.server.inject('/ready')).json()).toEqual({ status: 'ready' });
      const gate = Promise.withResolvers<void>();
      bench.engine.script = () => gate.promise;
      const working = bench.post([task]);
      await expect.poll(() => bench.engine.plans.length).toBe(1);
      const { statusCode, headers } = await bench.server.inject('/ready');
      expect([statusCode, headers['retry-after']]).toEqual([503, '5']);
      gate.resolve();
      await working;
    } finally {
      await bench.close();
    }
  });
});
