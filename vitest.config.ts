import { defineConfig } from 'vitest/config';
import { hasRedis } from './test/fixtures/redis-process.ts';

// Where to leave the results for a machine to read.
const report = process.env.TEST_REPORT;

/** Tests of a whole server that run a second time with its engine on a worker behind Redis. */
const overFleet = [
  'test/conformance/{ai-sdk,openai-python,python-sdk,sdk-js,wire-facts}.test.ts',
  'test/server/{http,tasks,webhooks,websocket,wire}.test.ts',
];

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: { name: 'alone', include: ['test/**/*.test.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'over a fleet',
          include: hasRedis ? overFleet : [],
          globalSetup: 'test/fixtures/redis-setup.ts',
          setupFiles: 'test/fixtures/fleet-setup.ts',
        },
      },
    ],
    // Vitest would leave out files under folders of certain names without saying so.
    exclude: [],
    allowOnly: report === undefined,
    // ONNX Runtime and sharp keep state per process and do not survive the end of a worker thread.
    pool: 'forks',
    maxWorkers: 2,
    // No test takes this long; one that does hangs. Those that compile shaders in software say so themselves.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A machine with more to do than cores is slow, not wrong.
    expect: { poll: { timeout: 30_000 } },
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
});
