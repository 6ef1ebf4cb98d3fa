import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import type { Authpipe } from '../../src/index.js';
import { clientOf, Double } from '../double.js';

const id = 'x'.repeat(43);
let double: Double;
let client: Authpipe;

beforeEach(() => {
  vi.useFakeTimers();
  double = new Double();
  client = clientOf(double, { namespace: 'team', vaultAddr: 'http://vault.test/' });
});

afterEach(async () => {
  await client.close();
  vi.useRealTimers();
});

/** settled advances the time until a promise is settled. */
async function settled<T>(asked: Promise<T>): Promise<T | Error> {
  const answer = asked.catch((error: Error) => error);
  await vi.advanceTimersByTimeAsync(60_000);
  return answer;
}

const asked = () => double.count('GET sessions/');

test('a request that Vault did not process is sent again, twice', async () => {
  double.meanwhile(() => double.refuse(503, 'Vault is sealed'));
  expect(await settled(client.session('org_acme', id))).toMatchObject({ code: 'unavailable', status: 503 });
  expect(asked()).toBe(3);
});

test('a broken connection is retried', async () => {
  let left = 2;
  double.meanwhile(() => {
    if (left-- > 0) throw new TypeError('fetch failed', { cause: new Error('ECONNRESET') });
    return double.reply({ session_id: id, status: 'pending', created_at: '2026-11-23T12:00:00Z', expires_at: '2026-11-23T12:10:00Z' });
  });
  expect(await settled(client.session('org_acme', id))).toMatchObject({ status: 'pending' });
});

test.each([[502, 'unavailable: Facebook is down'], [429, 'throttled: until noon'], [424, 'misconfigured: refused'], [409, 'pending: later']])(
  'what the engine has said stands: %i %s', async (status, text) => {
    double.meanwhile(() => double.refuse(status, text));
    expect(await settled(client.session('org_acme', id))).toMatchObject({ status, code: text.split(':')[0] });
    expect(asked()).toBe(1);
  });

test('a request without a response ends at the timeout', async () => {
  double.meanwhile((request) => new Promise((_, reject) => request.signal.addEventListener('abort', () => reject(new Error('aborted')))));
  expect(await settled(client.session('org_acme', id))).toMatchObject({ code: 'unavailable', detail: 'Vault cannot be reached: it took too long' });
  expect(asked()).toBe(1);
});

test('a caller that gives up gets its own reason', async () => {
  double.meanwhile(() => new Promise(() => undefined));
  const impatient = new AbortController();
  double.meanwhile((request) => new Promise((_, reject) => request.signal.addEventListener('abort', () => reject(new Error('aborted')))));
  const answer = expect(client.session('org_acme', id, { signal: impatient.signal })).rejects.toThrow('enough');
  await vi.advanceTimersByTimeAsync(10);
  impatient.abort(new Error('enough'));
  await answer;
  await expect(client.session('org_acme', id, { signal: impatient.signal })).rejects.toThrow('enough');
});

test('a standby that does not forward is followed, with the token, and not out of TLS', async () => {
  double.meanwhile((request) => (new URL(request.url).host === 'vault.test'
    ? new Response(null, { status: 307, headers: { Location: 'http://active.test/v1/authpipe/x' } })
    : double.reply({ session_id: id, status: 'pending', created_at: '2026-11-23T12:00:00Z', expires_at: '2026-11-23T12:10:00Z' })));
  expect(await settled(client.session('org_acme', id))).toMatchObject({ status: 'pending' });
  expect(double.requests.at(-1)!.headers.get('x-vault-token')).toBe('a-token-of-vault');
  const secure = clientOf(double, { vaultAddr: 'https://vault.test' });
  expect(await settled(secure.session('org_acme', id))).toMatchObject({ code: 'unexpected', detail: 'Vault redirects from https to http' });
  await secure.close();
});

test('endless redirects are not followed', async () => {
  double.meanwhile((request) => new Response(null, { status: 307, headers: { Location: request.url } }));
  expect(await settled(client.session('org_acme', id))).toMatchObject({ code: 'unexpected', status: 307 });
  expect(asked()).toBe(3);
});

test('a wrapped response is refused', async () => {
  double.meanwhile(() => Response.json({ data: { session_id: id }, wrap_info: { token: 't' } }));
  expect(await settled(client.session('org_acme', id))).toMatchObject({ code: 'unexpected', detail: 'the answer is wrapped' });
});

test.each(['null', '7', '[]', '{"data":null}', '{"data":{},"warnings":"none"}'])('a response of %s is an unusable answer', async (text) => {
  double.meanwhile(() => new Response(text));
  expect(await settled(client.getCredential({ tenantId: 'org_acme', credentialFor: 'installation' }))).toMatchObject({ code: 'unavailable', detail: 'the answer is about another credential' });
  expect(double.count('GET creds/')).toBe(1);
});

test('a caller that gave up before sends nothing', async () => {
  await expect(client.connect({ tenantId: 'org_acme', credentialFor: 'user', userId: 'bob' }, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  expect(double.asked).toEqual([]);
});

test('a request has token and namespace, and names are escaped', async () => {
  double.meanwhile(() => double.reply({ session_id: id, expires_at: '2026-11-23T12:10:00Z', completion: 'confirm', authorization_url: 'https://f/' }));
  const scopes = ['email'];
  await client.connect({ tenantId: 'org_acme', credentialFor: 'user', userId: 'auth0|b@b+c:d=e~f', scopes, reauthorize: false, allowAccountChange: true, completion: 'confirm', redirectUri: 'https://r/' });
  const [request] = double.requests.filter(({ method }) => method === 'POST');
  expect(request!.url).toBe('http://vault.test/v1/authpipe/connect/org_acme/facebook/users/auth0%7Cb%40b%2Bc%3Ad%3De~f');
  expect(await request!.json()).toEqual({ scopes, allow_account_change: true, completion: 'confirm', redirect_uri: 'https://r/' });
  expect(Object.fromEntries(request!.headers)).toMatchObject({ 'x-vault-request': 'true', 'x-vault-namespace': 'team', 'x-vault-token': 'a-token-of-vault' });
});

test.each(['', 'x', '../../creds', `${'x'.repeat(42)}/`, `${'x'.repeat(42)}?`])('the session id %j is refused', async (bad) => {
  await expect(client.session('org_acme', bad)).rejects.toMatchObject({ code: 'invalid_request' });
  expect(double.asked).toEqual([]);
});

test('an endless response is not read to its end', async () => {
  let sent = 0;
  double.meanwhile(() => new Response(new ReadableStream({ pull: (c) => { sent++; c.enqueue(new Uint8Array(1 << 20)); } })));
  expect(await settled(client.session('org_acme', id))).toMatchObject({ code: 'unavailable' });
  expect(sent).toBeLessThan(3 * 20);
});
