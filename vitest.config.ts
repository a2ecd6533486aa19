import { defineConfig } from 'vitest/config';

// Where to leave the results for a machine to read.
const report = process.env.TEST_REPORT;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
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
