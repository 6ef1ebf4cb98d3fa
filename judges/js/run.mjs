// Starts simulators on free ports, runs the tests below test/ against them, and stops them. Arguments go to node --test. The tests run in
// processes of their own, which trust the simulators' certificates: NODE_EXTRA_CA_CERTS is read at the start of a process only.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const binary = process.env.SIMULATOR_BIN ?? path.join(here, '../../bin/facebook-simulator');
const dir = await mkdtemp(path.join(tmpdir(), 'authpipe-judges-'));
const simulators = [];
let tests;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => [...simulators, tests].forEach((child) => child?.kill()));
}

async function simulate(certificate, ...args) {
  const child = spawn(binary, [
    '-tls-self-signed', certificate, '-redirect-uri', 'https://app.example/callback',
    '-redirect-uri', 'https://app.example/auth/callback/facebook', ...args,
  ], { stdio: ['ignore', 'pipe', 'inherit'] });
  simulators.push(child);
  const ended = once(child, 'exit').then( // rejects if it does not start
    () => { throw new Error(`${binary} ended`); },
    (err) => { throw new Error(`${binary}: ${err.message}: make build builds it`); });
  ended.catch(() => {}); // for when it is no longer awaited
  const [first] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended]);
  return first.replace('facebook simulator: ', '');
}

let status = 1;
try {
  const env = {};
  const certificates = [];
  for (const [name, ...args] of [
    ['SIMULATOR'], // as it is by default
    ['SIMULATOR_OLD_APP', '-old-app'],
    ['SIMULATOR_LENIENT', '-accept-basic-auth', '-pkce-always'],
  ]) {
    const certificate = path.join(dir, `${name}.pem`);
    env[name] = await simulate(certificate, ...args);
    certificates.push(await readFile(certificate, 'utf8'));
  }
  env.NODE_EXTRA_CA_CERTS = path.join(dir, 'trusted.pem');
  await writeFile(env.NODE_EXTRA_CA_CERTS, certificates.join(''));
  const files = (await readdir(path.join(here, 'test'))).filter((name) => name.endsWith('.test.mjs')).sort();
  // One after another, because they share the people and their grants.
  tests = spawn(process.execPath, [
    '--test', '--test-concurrency=1', ...process.argv.slice(2), ...files.map((name) => path.join(here, 'test', name)),
  ], {
    stdio: 'inherit',
    env: { ...process.env, NODE_NO_WARNINGS: '1', ...env },
  });
  [status] = await once(tests, 'exit');
} finally {
  await Promise.all(simulators.map(async (child) => {
    if (child.exitCode === null && child.kill()) await once(child, 'exit');
  }));
  await rm(dir, { recursive: true, force: true });
}
process.exitCode = status ?? 1;
