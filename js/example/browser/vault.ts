import { randomUUID } from 'node:crypto';

/** The Vault that was started for these tests: scripts/test-browser.sh. */
export const vaultAddr = need('VAULT_ADDR');
export const vaultToken = need('VAULT_TOKEN');

export function need(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run make test-browser`);
  return value;
}

/** Sends a request to Vault as an operator. */
export async function vault<T = Record<string, unknown>>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<T> {
  const response = await fetch(`${vaultAddr}/v1/${path}`, {
    method,
    headers: { 'X-Vault-Token': vaultToken },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  const { data, auth } = text ? (JSON.parse(text) as { data?: T; auth?: T }) : {};
  return (data ?? auth) as T;
}

/** A token with one policy. */
export async function tokenWith(policy: string): Promise<string> {
  return (await vault<{ client_token: string }>('POST', 'auth/token/create', { policies: [policy], no_parent: true })).client_token;
}

/** Mounts a separate engine for each test. */
export async function mountEngine(): Promise<{ mount: string; unmount(): Promise<void> }> {
  const mount = `authpipe-${randomUUID().slice(0, 8)}`;
  await vault('POST', `sys/mounts/${mount}`, { type: 'authpipe', config: { passthrough_request_headers: ['Accept-Language'] } });
  return { mount, unmount: () => vault('DELETE', `sys/mounts/${mount}`) };
}
