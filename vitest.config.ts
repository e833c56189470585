import { defineConfig } from 'vitest/config';

const exclude = ['**/node_modules/**', '**/.local/**', '**/dist/**'];
// On a busy machine a real server may take longer than a test allows. In CI such a test is tried once more, and the report says so.
const retry = process.env['CI'] === undefined ? 0 : 1;
const servers = ['libs/devstack/src/vitest-servers.ts'];

// A suffix says what a test needs: `.test.ts` nothing, `.int.test.ts` servers, `.e2e.test.ts` the whole platform.
// Files that share servers run one at a time; every file has a process of its own.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: [...exclude, '**/*.int.test.ts', '**/*.e2e.test.ts'],
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'int',
          include: ['**/*.int.test.ts'],
          exclude,
          globalSetup: servers,
          testTimeout: 60_000,
          retry,
          hookTimeout: 120_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['**/*.e2e.test.ts'],
          exclude,
          globalSetup: servers,
          testTimeout: 180_000,
          retry,
          hookTimeout: 180_000,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
