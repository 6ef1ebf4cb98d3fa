import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as after } from 'node:timers/promises';

import type { TestProject } from 'vitest/node';

/** The environment of the contract tests. */
export interface Stage {
  vaultAddr: string;
  rootToken: string;
  facebook: string;
  appId: string;
  appSecret: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    stage: Stage;
  }
}

/** How long a test waits for a process, in ms. Only a failing test waits so long. */
const patience = 120_000;

/** The tests' application. */
export const origin = 'https://app.example.com';

const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../../..');
const appId = '1024222333444555';
const appSecret = '0123456789abcdef0123456789abcdef';

/**
 * Builds the engine and the Facebook simulator, and starts both: the engine in a Vault in dev mode. VAULT_BIN names the server;
 * without it scripts/vault.sh finds or builds one.
 */
export default async function stage(project: TestProject): Promise<() => void> {
  const run = mkdtempSync(join(tmpdir(), 'authpipe-stage-'));
  const started: ChildProcess[] = [];
  const strike = () => {
    for (const child of started.reverse()) child.kill();
    rmSync(run, { recursive: true, force: true });
  };
  try {
    project.provide('stage', await set(run, started));
  } catch (error) {
    strike();
    throw error;
  }
  return strike;
}

async function set(run: string, started: ChildProcess[]): Promise<Stage> {
  const vaultBin = execFileSync(join(root, 'scripts/vault.sh'), { encoding: 'utf8' }).trim();
  const env = { ...process.env, CGO_ENABLED: '0' };
  execFileSync('go', ['build', '-trimpath', '-o', `${run}/`, './cmd/...'], { cwd: root, env, stdio: 'inherit' });
  // A dev Vault registers every file of its plugin directory under the file's name, so the plugin has a directory of its own.
  mkdirSync(join(run, 'plugins'));
  copyFileSync(join(run, 'vault-plugin-secrets-authpipe'), join(run, 'plugins/authpipe'));

  const rootToken = randomBytes(16).toString('hex');
  const vaultAddr = await startVault(vaultBin, run, rootToken, started);
  const facebook = await startFacebook(run, vaultAddr, started);
  const write = operator(vaultAddr, rootToken);
  await write('POST', 'authpipe/config/facebook', {
    client_id: appId, client_secret: appSecret, dialog_url: facebook, graph_url: facebook,
    redirect_uris: [`${vaultAddr}/v1/authpipe/callback/facebook`], return_urls: [`${origin}/authpipe/return`],
  });
  return { vaultAddr, rootToken, facebook, appId, appSecret };
}

async function startVault(bin: string, run: string, rootToken: string, started: ChildProcess[]): Promise<string> {
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  // The developer's own Vault must not reach this one.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VAULT|BAO)_/.test(name)));
  const args = ['server', '-dev', '-dev-no-store-token', `-dev-listen-address=127.0.0.1:${port}`, `-dev-plugin-dir=${join(run, 'plugins')}`];
  const vault = spawn(bin, args, { env: { ...env, VAULT_DEV_ROOT_TOKEN_ID: rootToken, BAO_DEV_ROOT_TOKEN_ID: rootToken }, stdio: 'ignore' });
  started.push(vault);
  // A dev server registers the plugins last, and an unregistered one cannot be mounted.
  let last: unknown;
  for (const until = Date.now() + patience; Date.now() < until && vault.exitCode === null;) {
    last = await operator(address, rootToken)('POST', 'sys/mounts/authpipe', { type: 'authpipe' }).then(() => undefined, (error: unknown) => error);
    if (last === undefined) return address;
    await after(100);
  }
  throw new Error(`starting Vault: its exit code is ${vault.exitCode}, and mounting the engine fails`, { cause: last });
}

async function startFacebook(run: string, vaultAddr: string, started: ChildProcess[]): Promise<string> {
  const args = ['-listen', '127.0.0.1:0', '-app-id', appId, '-app-secret', appSecret, '-auto-approve', '-require-app-secret',
    '-redirect-uri', `${vaultAddr}/v1/authpipe/callback/facebook`];
  const simulator = spawn(join(run, 'facebook-simulator'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  started.push(simulator);
  for await (const line of createInterface({ input: simulator.stdout })) {
    const address = /^facebook simulator: (\S+)$/.exec(line)?.[1];
    if (address) {
      simulator.stdout.resume();
      return address;
    }
  }
  throw new Error(`starting the simulated Facebook: it ended with exit code ${simulator.exitCode} before it said where it listens`);
}

function freePort(): Promise<number> {
  return new Promise((settle, fail) => {
    const server = createServer();
    server.on('error', fail).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => settle(port));
    });
  });
}

/** operator sends requests to Vault with the root token. */
export function operator(vaultAddr: string, token: string) {
  return async <T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> => {
    const init: RequestInit = { method, headers: { 'X-Vault-Token': token }, signal: AbortSignal.timeout(patience) };
    const response = await fetch(`${vaultAddr}/v1/${path}`, body === undefined ? init : { ...init, body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) {
      throw new Error(`${method} ${path}: ${response.status} ${text}`);
    }
    const { data, auth } = (text === '' ? {} : JSON.parse(text)) as { data?: T; auth?: T };
    return data ?? auth ?? ({} as T);
  };
}
