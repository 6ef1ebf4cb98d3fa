import { createRequire } from 'node:module';
import { defineConfig } from 'vitest/config';

// What the tests import as react is once this package's own, the newest, and once the 18 that js/react-18 has installed.
const older = createRequire(new URL('../react-18/package.json', import.meta.url));
const from18 = ['react', 'react-dom'].flatMap((name) => [
  { find: new RegExp(`^${name}$`), replacement: older.resolve(name) },
  { find: new RegExp(`^${name}/(.*)$`), replacement: `${older.resolve(`${name}/package.json`).slice(0, -'package.json'.length)}$1` },
]);

const include = ['test/**/*.test.{ts,tsx}'];

// Limits for a test that hangs, and no measure of how fast one is: a busy machine may stand still for many seconds.
const limits = { testTimeout: 300_000, hookTimeout: 300_000 };

export default defineConfig({
  test: {
    teardownTimeout: 60_000,
    projects: [
      { test: { ...limits, name: 'react 19', include, environment: 'jsdom' } },
      { test: { ...limits, name: 'react 18', include, environment: 'jsdom', exclude: ['test/pack.test.ts'] }, resolve: { alias: from18 } },
    ],
  },
});
