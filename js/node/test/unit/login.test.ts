import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import type { Authpipe, VaultAuth } from '../../src/index.js';
import { clientOf, Double } from '../double.js';

const bob = { tenantId: 'org_acme', userId: 'bob', credentialFor: 'user' } as const;
const second = 1000;
const minute = 60 * second;

let double: Double;
/** The living Vault tokens, and the leases that Vault issues. */
let living: Set<string>;
let lease: { seconds: number; renewable: boolean };
let logins: number;
let last: Record<string, unknown>;
const opened: Authpipe[] = [];

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 23, 12) });
  double = new Double();
  double.put('org_acme/facebook/users/bob', { token: 'one', ttl: 30 });
  living = new Set();
  lease = { seconds: 3600, renewable: true };
  logins = 0;
  double.meanwhile(vaults);
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((client) => client.close()));
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const given = (token: string) => double.reply({}, { auth: { client_token: token, lease_duration: lease.seconds, renewable: lease.renewable } });

/** vaults answers as Vault does: it accepts known tokens. */
async function vaults(request: Request): Promise<Response | undefined> {
  if (request.url.endsWith('/login')) {
    last = (await request.clone().json()) as Record<string, unknown>;
    const token = `token-${++logins}`;
    living.add(token);
    return given(token);
  }
  const token = request.headers.get('x-vault-token') ?? '';
  if (!living.has(token)) {
    return double.refuse(403, 'permission denied', 'invalid token');
  }
  if (request.url.endsWith('/lookup-self')) {
    return double.reply({ ttl: lease.seconds, renewable: lease.renewable });
  }
  if (request.url.endsWith('/revoke-self')) {
    living.delete(token);
    return new Response(null, { status: 204 });
  }
  return request.url.endsWith('/renew-self') ? given(token) : undefined;
}

/** hushed is a Vault that does not say that a token is invalid. */
async function hushed(request: Request): Promise<Response | undefined> {
  const answer = await vaults(request);
  return answer?.status === 403 ? double.refuse(403, 'permission denied') : answer;
}

/** blind is a Vault whose role has token_no_default_policy: its tokens may not look up, renew or revoke themselves. */
async function blind(request: Request): Promise<Response | undefined> {
  const own = /\/(lookup|renew|revoke)-self$/.test(request.url);
  return own && living.has(request.headers.get('x-vault-token') ?? '') ? double.refuse(403, 'permission denied') : vaults(request);
}

function open(auth: VaultAuth, onTrouble = () => undefined as void): Authpipe {
  opened.push(clientOf(double, { auth, onTrouble }));
  return opened.at(-1)!;
}

const approle: VaultAuth = { method: 'approle', roleId: 'role', secretId: () => Promise.resolve('secret\n') };
const renewals = () => double.count('POST auth/token/renew-self');
const passes = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('logging in', () => {
  test.each<[string, VaultAuth, string, Record<string, unknown>]>([
    ['by AppRole', approle, 'auth/approle/login', { role_id: 'role', secret_id: 'secret' }],
    ['by AppRole that binds no secret id, mounted elsewhere', { method: 'approle', roleId: 'role', mount: '/apps/' }, 'auth/apps/login', { role_id: 'role' }],
    ['by a JWT', { method: 'jwt', role: 'ci', jwt: () => 'a.b.c' }, 'auth/jwt/login', { role: 'ci', jwt: 'a.b.c' }],
    ['as a pod', { method: 'kubernetes', role: 'app', jwt: 'a.b.c' }, 'auth/kubernetes/login', { role: 'app', jwt: 'a.b.c' }],
  ])('is done once for all callers: %s', async (_, auth, path, body) => {
    const client = open(auth);
    await Promise.all([client.getCredential(bob), client.getCredential({ ...bob, credentialFor: 'any' }), client.connection(bob).catch(() => undefined)]);
    expect(double.count(`POST ${path}`)).toBe(1);
    expect(last).toEqual(body);
    expect(double.requests.at(-1)!.headers.get('x-vault-token')).toBe('token-1');
  });

  test('that Vault refuses is permission_denied, and the function for the secret may fail', async () => {
    double.meanwhile(() => double.refuse(400, 'invalid role or secret ID'));
    await expect(open(approle).getCredential(bob)).rejects.toMatchObject({ code: 'permission_denied', status: 400, op: 'logging in to Vault' });
    const unreadable = open({ method: 'kubernetes', role: 'app', jwt: () => Promise.reject(new Error('ENOENT')) });
    await expect(unreadable.getCredential(bob)).rejects.toMatchObject({ code: 'unavailable', detail: 'the function that returns the secret has failed' });
  });
});

describe('a login that fails', () => {
  test('is not tried again by each caller, because Vault locks out a role that fails too often', async () => {
    double.meanwhile((request) => { if (request.url.endsWith('/login')) logins++; return double.refuse(400, 'invalid role or secret ID'); });
    const client = open(approle);
    for (let i = 0; i < 600; i++) {
      await expect(client.connection(bob)).rejects.toMatchObject({ code: 'permission_denied', op: 'logging in to Vault' });
      await passes(100);
    }
    expect(logins).toBeGreaterThan(3);
    expect(logins).toBeLessThan(12);
    double.meanwhile(vaults);
    await passes(30 * second);
    expect((await client.getCredential(bob)).credential).toBe('one');
  });

  test('with a 412 of a node that is behind is an outage', async () => {
    double.meanwhile((request) => (request.url.endsWith('/login') ? double.refuse(412) : vaults(request)));
    const refused = expect(open(approle).getCredential(bob)).rejects.toMatchObject({ code: 'unavailable', status: 412 });
    await passes(10 * second);
    await refused;
  });

  test('whose secret never arrives ends callers at the timeout, and does not keep the client from closing', async () => {
    const client = open({ ...approle, secretId: () => new Promise<string>(() => undefined) });
    const impatient = new AbortController();
    const given = expect(client.connection(bob, { signal: impatient.signal })).rejects.toThrow('enough');
    const patient = expect(client.connection(bob)).rejects.toMatchObject({ code: 'unavailable' });
    await passes(second);
    impatient.abort(new Error('enough'));
    await given;
    await passes(30 * second);
    await patient;
    const waiting = expect(client.connection(bob)).rejects.toMatchObject({ code: 'closed' });
    await passes(second);
    await client.close();
    await waiting;
  });
});

describe('the Vault token', () => {
  test('is renewed well before its lease ends, as long as the client is open', async () => {
    await open(approle).getCredential(bob);
    await passes(29 * minute);
    expect(renewals()).toBe(0);
    await passes(12 * minute);
    expect(renewals()).toBe(1);
    await passes(24 * 60 * minute);
    expect(renewals()).toBeGreaterThan(35);
    expect(logins).toBe(1);
  });

  test('is replaced when its renewals get shorter, and when it cannot be renewed', async () => {
    await open(approle).getCredential(bob);
    lease.seconds = 600;
    await passes(41 * minute);
    expect(logins).toBe(2);
    lease.renewable = false;
    await passes(7 * minute); // after a renewal it is not renewable any more
    await passes(7 * minute);
    expect(logins).toBeGreaterThanOrEqual(3);
  });

  test('is renewed ever less often while that fails', async () => {
    await open(approle).getCredential(bob);
    double.meanwhile(() => double.refuse(429, 'rate limit quota exceeded'));
    await passes(41 * minute);
    const before = renewals();
    await passes(10 * minute);
    expect(renewals() - before).toBeGreaterThan(15);
    expect(renewals() - before).toBeLessThan(45);
  });

  test('that ended while Vault was away is not used', async () => {
    const client = open(approle, () => undefined);
    await client.getCredential(bob);
    double.meanwhile(() => double.refuse(503, 'Vault is sealed'));
    await passes(61 * minute);
    double.meanwhile(vaults);
    living.clear();
    double.requests.length = 0;
    await client.connection(bob).catch(() => undefined);
    expect(double.requests.some((request) => request.headers.get('x-vault-token') === 'token-1')).toBe(false);
  });

  test('is renewed as soon as Vault is back', async () => {
    await open(approle).getCredential(bob);
    double.meanwhile(() => double.refuse(503, 'Vault is sealed'));
    await passes(42 * minute);
    double.meanwhile(vaults);
    const before = renewals();
    await passes(35 * second);
    expect(renewals()).toBe(before + 1);
    expect(logins).toBe(1);
  });

  test.each([['Vault says so', false, 0], ['Vault does not say so', true, 1]])('that was revoked is replaced once for all callers, without an error: %s', async (_, silent, lookups) => {
    const client = open(approle);
    await client.getCredential(bob);
    if (silent) double.meanwhile(hushed);
    living.clear();
    const crowd = Array.from({ length: 16 }, (_, i) => {
      double.put(`org_acme/facebook/users/u${i}`, { token: 'one' });
      return client.getCredential({ ...bob, userId: `u${i}` });
    });
    await Promise.all(crowd);
    // and a lookup of the new one
    expect(double.count('GET auth/token/lookup-self')).toBe(lookups * 2);
    expect(logins).toBe(2);
  });

  test('that was replaced during a request does not fail the request', async () => {
    const client = open(approle);
    await client.getCredential(bob);
    living.clear();
    double.put('org_acme/facebook/users/ann', { token: 'two' });
    double.meanwhile(async (request) => {
      const answer = await vaults(request);
      if (request.url.endsWith('/ann') && answer) await new Promise((resolve) => setTimeout(resolve, second)); // the refusal is slow
      return answer;
    });
    const late = client.getCredential({ ...bob, userId: 'ann' });
    await client.connection(bob).catch(() => undefined);
    expect(logins).toBe(2);
    await passes(second);
    expect((await late).credential).toBe('two');
    expect(logins).toBe(2);
  });

  test('is not looked up for other errors', async () => {
    const client = open(approle);
    await client.getCredential(bob);
    for (const [status, refusal] of [[502, 'unavailable: Facebook is down'], [429, 'throttled: later'], [404, 'not_found: none'], [400, 'invalid_request: no']] as const) {
      double.put('org_acme/facebook/users/bob', { status, refusal });
      client.forget('org_acme/facebook/users/bob');
      await expect(client.getCredential(bob)).rejects.toMatchObject({ status });
    }
    expect(double.count('GET auth/token/lookup-self')).toBe(0);
  });

  test('that lives is not replaced when a policy refuses', async () => {
    double.put('org_acme/facebook/users/bob', { status: 403, refusal: 'permission denied' });
    const client = open(approle);
    for (let i = 0; i < 10; i++) {
      await expect(client.connect(bob)).rejects.toMatchObject({ code: 'permission_denied' });
      await expect(client.getCredential(bob)).rejects.toMatchObject({ code: 'permission_denied' });
    }
    expect(double.count('GET auth/token/lookup-self')).toBe(1);
    expect(logins).toBe(1);
  });

  test('that is revoked soon after a policy has refused is replaced seconds later, and not after a minute', async () => {
    const client = open(approle);
    await client.getCredential(bob);
    double.put('org_acme/facebook/users/ann', { status: 403, refusal: 'permission denied' });
    await expect(client.getCredential({ ...bob, userId: 'ann' })).rejects.toMatchObject({ code: 'permission_denied' });
    living.clear();
    await passes(6 * second);
    await client.connection(bob).catch((error: unknown) => expect(error).not.toMatchObject({ code: 'permission_denied' }));
    expect(logins).toBe(2);
  });

  test('of a login is revoked when the client closes, and a given one is not', async () => {
    const client = open(approle);
    await client.getCredential(bob);
    await client.close();
    expect(living.size).toBe(0);
    living.add('given');
    const other = open({ method: 'token', token: 'given' });
    await other.getCredential(bob);
    await other.close();
    expect(living).toEqual(new Set(['given']));
  });
});

describe('a dead token', () => {
  /** refusing is a Vault that does not know a client's token, and refuses logins. */
  const refusing = (says: (request: Request) => Promise<Response | undefined>) => (request: Request) =>
    (request.url.endsWith('/login') ? double.refuse(400, 'invalid role or secret ID') : says(request));

  test.each([['says that it is unknown', vaults], ['does not say so', hushed]])('is an outage if Vault %s: living credentials are still served', async (_, says) => {
    for (const auth of [approle, { method: 'token', token: 'given' } as const]) {
      living.add('given');
      double.meanwhile(vaults);
      const client = open(auth);
      await client.getCredential(bob);
      await client.getCredential(bob);
      living.clear();
      double.meanwhile(refusing(says));
      for (let waited = 0; waited < 60; waited++) {
        await passes(minute);
        expect((await client.getCredential(bob)).credential).toBe('one');
      }
      await passes(24 * 60 * minute);
      await expect(client.getCredential(bob)).rejects.toMatchObject({ code: 'permission_denied' });
      double.meanwhile(vaults);
      living.add('given');
      await passes(31 * second);
      expect((await client.getCredential(bob)).credential).toBe('one');
    }
  });

  test.each([['may be looked up', vaults], ['may not', blind]])('differs from a policy\'s refusal, which takes effect at once: a token that %s', async (_, says) => {
    double.meanwhile(says);
    const client = open(approle);
    await client.getCredential(bob);
    await client.getCredential(bob);
    double.put('org_acme/facebook/users/bob', { status: 403, refusal: 'permission denied' });
    await passes(35 * second);
    await expect(client.getCredential(bob)).rejects.toMatchObject({ code: 'permission_denied' });
  });

  test('is not replaced again and again if the role has token_no_default_policy', async () => {
    double.meanwhile(blind);
    double.put('org_acme/facebook/users/ann', { status: 403, refusal: 'permission denied' });
    const client = open(approle);
    for (let i = 0; i < 60 * 60; i += 6) { // an hour
      await expect(client.connection({ ...bob, userId: 'ann' })).rejects.toMatchObject({ code: 'permission_denied' });
      await passes(6 * second);
    }
    expect(logins).toBeLessThan(10);
  });

  test('is replaced at once if the role has token_no_default_policy', async () => {
    double.meanwhile(blind);
    const client = open(approle);
    await client.getCredential(bob);
    for (let i = 1; i <= 5; i++) {
      living.clear();
      await passes(6 * second);
      double.put(`org_acme/facebook/users/u${i}`, { token: 'one' });
      expect((await client.getCredential({ ...bob, userId: `u${i}` })).credential).toBe('one');
    }
    expect(logins).toBe(6);
  });

  test('is revoked when a login replaces it', async () => {
    lease.renewable = false;
    const client = open(approle);
    await client.getCredential(bob);
    await passes(5 * 60 * minute);
    expect(logins).toBeGreaterThan(5);
    expect(living).toEqual(new Set([`token-${logins}`]));
    await client.close();
    expect(living.size).toBe(0);
  });
});

describe('a given token', () => {
  test('is renewed while it can be', async () => {
    living.add('given');
    await open({ method: 'token', token: 'given' }).getCredential(bob);
    await passes(41 * minute);
    expect(renewals()).toBe(1);
  });

  test('without the right to look itself up is used as it is', async () => {
    living.add('given');
    double.meanwhile((request) => (request.url.endsWith('-self') ? double.refuse(403, 'permission denied') : vaults(request)));
    const client = open({ method: 'token', token: 'given' });
    await client.getCredential(bob);
    await passes(24 * 60 * minute);
    expect((await client.getCredential(bob)).credential).toBe('one');
  });

  test('from a file is read again when it has ended', async () => {
    const files = ['first', 'second'];
    living.add('first');
    const client = open({ method: 'token', token: () => files[0]! });
    await client.getCredential(bob);
    living.clear();
    living.add('second');
    files.shift();
    double.put('org_acme/facebook/users/ann', { token: 'two' });
    expect((await client.getCredential({ ...bob, userId: 'ann' })).credential).toBe('two');
  });

  test('from a file is read again at once, even after a failure a moment ago', async () => {
    let file = 'first';
    const client = open({ method: 'token', token: () => file });
    await expect(client.connection(bob)).rejects.toMatchObject({ code: 'permission_denied' });
    living.add('second');
    file = 'second'; // Vault Agent has written it
    expect((await client.getCredential(bob)).credential).toBe('one');
  });

  test('that is invalid is permission_denied', async () => {
    await expect(open({ method: 'token', token: 'none' }).getCredential(bob)).rejects.toMatchObject({ code: 'permission_denied', status: 403 });
  });
});
