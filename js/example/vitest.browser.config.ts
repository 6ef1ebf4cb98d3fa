import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['browser/**/*.test.ts'],
    // Limits for a test that hangs. They are longer than those of its steps (browser/chromium.ts), whose errors name what did not
    // happen.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    teardownTimeout: 60_000,
    expect: { poll: { timeout: 120_000 } },
    // One browser and one Vault are enough for one machine.
    fileParallelism: false,
  },
});
