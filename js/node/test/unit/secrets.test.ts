import { inspect } from 'node:util';

import { afterEach, expect, test, vi } from 'vitest';

import { Authpipe, AuthpipeError, StartedDevice, StartedSession } from '../../src/index.js';
import { clientOf, Double } from '../double.js';

const canary = 'EAAcanaryCANARYcanary';
const bob = { tenantId: 'org_acme', userId: 'bob', credentialFor: 'user' } as const;
const opened: Authpipe[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((client) => client.close()));
  vi.useRealTimers();
});

function open(double: Double, options: Parameters<typeof clientOf>[1] = {}): Authpipe {
  opened.push(clientOf(double, options));
  return opened.at(-1)!;
}

/** shown returns everything that a value shows without access to its secret. */
function shown(value: unknown): string {
  return [
    inspect(value), inspect(value, { depth: Infinity, showHidden: true }), inspect({ in: [value] }, { depth: 9 }),
    inspect(value, { customInspect: false, depth: Infinity, showHidden: true }), inspect(value, { customInspect: false, depth: Infinity, showHidden: true, getters: true }), JSON.stringify(value), JSON.stringify({ value }), String(value), `${value}`,
    inspect({ ...(value as object) }), inspect(Object.entries(value as object), { depth: 9 }), value instanceof Error ? value.stack : '',
  ].join('\n');
}

test('a credential shows no secret, and returns it from its property', async () => {
  const double = new Double();
  double.put('org_acme/facebook/users/bob', { token: canary });
  const client = open(double);
  const got = await client.getCredential(bob);
  expect(shown(got)).not.toContain(canary);
  expect(inspect(got)).toContain("credential: '[redacted]'");
  expect(JSON.parse(JSON.stringify(got))).toMatchObject({ ref: 'org_acme/facebook/users/bob', credential: '[redacted]', appSecretProof: '[redacted]', status: 'active' });
  expect(`${got}`).toBe('credential org_acme/facebook/users/bob');
  expect(got.credential).toBe(canary);
  expect(got.appSecretProof).toBe(`proof-of-${canary}`);
  expect(Object.isFrozen(got)).toBe(true);
});

test('a client shows neither its cache nor its login', async () => {
  const double = new Double();
  double.put('org_acme/facebook/users/bob', { token: canary });
  for (const auth of [{ method: 'token', token: canary }, { method: 'approle', roleId: 'r', secretId: canary }] as const) {
    const client = open(double, { auth });
    double.meanwhile((request) => (request.url.endsWith('/login') ? double.reply({}, { auth: { client_token: canary, lease_duration: 60, renewable: true } }) : undefined));
    await client.getCredential(bob);
    expect(shown(client)).not.toContain(canary);
  }
});

test('a begun session shows neither its URL nor its state nor its code', () => {
  const data = { session_id: 's', expires_at: '2026-11-23T12:00:00Z', completion: 'confirm' as const, authorization_url: `https://f/?state=${canary}`, user_code: canary, state: canary };
  for (const started of [new StartedSession(data), new StartedDevice(data)]) {
    expect(shown(started)).not.toContain(canary);
  }
  expect(new StartedSession(data).authorizationUrl).toContain(canary);
  expect(new StartedSession(data).state).toBe(canary);
  expect(new StartedDevice(data).userCode).toBe(canary);
});

test.each([
  ['the answer is cut off', () => new Response(`{"data":{"access_token":"${canary}`)],
  ['the answer is nothing', () => new Response('null')],
  ['the answer is no JSON', () => new Response(`access_token=${canary}`)],
  ['the answer is about another', (double: Double) => double.reply({ tenant_id: 'other', access_token: canary })],
  ['the answer is wrapped', () => Response.json({ data: { access_token: canary }, wrap_info: { token: canary } })],
  ['the connection breaks', () => { throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED 127.0.0.1:8200') }); }],
  ['a page of a proxy\'s comes', () => new Response(`<h1>${canary}</h1>`, { status: 502 })],
])('an error shows no secret: %s', async (_, happens) => {
  const double = new Double();
  double.meanwhile(() => happens(double));
  const troubles: unknown[] = [];
  const client = open(double, { auth: { method: 'token', token: canary }, onTrouble: (trouble) => troubles.push(trouble) });
  vi.useFakeTimers();
  const failed = client.getCredential(bob).catch((e: unknown) => e);
  await vi.advanceTimersByTimeAsync(10_000);
  const error: unknown = await failed;
  expect(error).toBeInstanceOf(AuthpipeError);
  expect(shown(error) + shown(troubles)).not.toContain(canary);
});

test('a token is trimmed, and one that no header takes is not shown', async () => {
  const double = new Double();
  double.put('org_acme/facebook/users/bob', { token: 'one' });
  await open(double, { auth: { method: 'token', token: `${canary}\n` } }).getCredential(bob);
  expect(double.requests[0]!.headers.get('x-vault-token')).toBe(canary);
  const error: unknown = await open(double, { auth: { method: 'token', token: `${canary}\n${canary}` } }).getCredential(bob).catch((e: unknown) => e);
  expect(error).toMatchObject({ code: 'permission_denied' });
  expect(shown(error)).not.toContain(canary);
});

test('a credential that no header takes is not shown', async () => {
  const double = new Double();
  double.put('org_acme/facebook/users/bob', { token: `${canary}\u2028` });
  const error: unknown = await open(double).graph(bob, { fetch: () => Promise.reject(new Error('nobody calls')) })('https://graph.facebook.com/me').catch((e: unknown) => e);
  expect(error).toBeInstanceOf(AuthpipeError);
  expect(shown(error)).not.toContain(canary);
});
