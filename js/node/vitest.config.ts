import { defineConfig } from 'vitest/config';

// Limits for a test that hangs, and no measure of how fast one is: a busy machine may stand still for many seconds.
const limits = { testTimeout: 300_000, hookTimeout: 300_000, expect: { poll: { timeout: 120_000 } } };

export default defineConfig({
  test: {
    teardownTimeout: 60_000,
    projects: [
      { test: { ...limits, name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      {
        test: {
          ...limits,
          name: 'contract',
          include: ['test/contract/**/*.test.ts'],
          globalSetup: ['test/contract/stage.ts'],
          // One Facebook, whose people are few: what one file takes back another may be using.
          fileParallelism: false,
        },
      },
      { test: { ...limits, name: 'package', include: ['test/package/**/*.test.ts'] } },
    ],
  },
});
