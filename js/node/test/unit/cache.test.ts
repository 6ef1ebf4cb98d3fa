import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { AuthpipeError, NeedsReauthError, NotConnectedError, type Authpipe, type CredentialRequest } from '../../src/index.js';
import { clientOf, Double } from '../double.js';

const bobs = 'org_acme/facebook/users/bob';
const bob = { tenantId: 'org_acme', userId: 'bob', credentialFor: 'user' } as const;
const installation = 'org_acme/facebook/installation';
const acme = { tenantId: 'org_acme', credentialFor: 'installation' } as const;
const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

let double: Double;
const opened: Authpipe[] = [];

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 23, 12) });
  double = new Double();
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((client) => client.close()));
  expect(double.twice).toEqual([]);
  vi.useRealTimers();
});

function open(options: Parameters<typeof clientOf>[1] = {}): Authpipe {
  const client = clientOf(double, options);
  opened.push(client);
  return client;
}

async function token(client: Authpipe, request: CredentialRequest = bob): Promise<string> {
  return (await client.getCredential(request)).credential;
}

/** passes advances the time, and runs what is due. */
const passes = (ms: number) => vi.advanceTimersByTimeAsync(ms);
/** slowly delays the double's answers. */
const slowly = (ms: number) => double.meanwhile(() => new Promise((resolve) => setTimeout(resolve, ms)));

describe('a credential that is asked for', () => {
  test('is read once and served from memory', async () => {
    double.put(bobs, { token: 'one' });
    const client = open();
    for (let i = 0; i < 10; i++) expect(await token(client)).toBe('one');
    expect(double.count('GET creds/')).toBe(1);
  });

  test('is read by one request for many callers at once', async () => {
    double.put(bobs, { token: 'one' });
    slowly(second);
    const client = open();
    const all = Promise.all(Array.from({ length: 64 }, () => token(client)));
    await passes(second);
    expect(new Set(await all)).toEqual(new Set(['one']));
    expect(double.count('GET creds/')).toBe(1);
  });

  test('reaches the other callers if one gives up', async () => {
    double.put(bobs, { token: 'one' });
    slowly(second);
    const client = open();
    const impatient = new AbortController();
    const given = client.getCredential(bob, { signal: impatient.signal });
    const patient = token(client);
    impatient.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    await passes(second);
    expect(await patient).toBe('one');
    expect(double.count('GET creds/')).toBe(1);
  });

  test('has its source', async () => {
    double.put(bobs, { token: 'one' });
    double.put(installation, { token: 'two' });
    double.put('org_acme/stripe/static/key', { token: 'sk' });
    const client = open();
    expect(await client.getCredential(bob)).toMatchObject({ source: 'connection', userId: 'bob', tokenType: 'bearer', scopes: ['email'] });
    expect(await client.getCredential({ ...bob, credentialFor: 'any' })).toMatchObject({ source: 'connection' });
    expect(await client.getCredential({ ...bob, userId: 'ann', credentialFor: 'any' })).toMatchObject({ source: 'installation', credential: 'two' });
    expect(await client.getCredential({ tenantId: 'org_acme', credentialFor: 'any' })).toMatchObject({ source: 'installation' });
    expect(await client.getCredential({ tenantId: 'org_acme', provider: 'stripe', name: 'key', credentialFor: 'static' }))
      .toMatchObject({ source: 'static', type: 'api_key', credential: 'sk' });
  });

  test('is not replaced by the installation\'s because the person\'s is dead', async () => {
    double.put(bobs, { refusal: 'revoked: bob took it away' });
    double.put(installation, { token: 'two' });
    await expect(token(open(), { ...bob, credentialFor: 'any' })).rejects.toMatchObject({ code: 'revoked' });
  });

  test.each([
    ['of another tenant', { tenant_id: 'org_evil' }],
    ['of another user', { user_id: 'eve' }],
    ['of the installation', { user_id: undefined }],
    ['of a page', { page_id: '7' }],
    ['without a token', { access_token: '' }],
    ['of a token that has ended', { expires_at: '2026-11-23T11:59:00Z' }],
    ['whose end cannot be read', { expires_at: 'soon' }],
    ['whose other end cannot be read', { data_access_expires_at: 'soon' }],
    ['whose scopes are none', { scopes: 7 }],
    ['whose ttl is none', { ttl: 'an hour' }],
  ])('is refused if the answer is %s', async (_, more) => {
    double.put(bobs, { token: 'one', more });
    await expect(token(open())).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('a request that names no single credential', () => {
  test.each([
    ['an empty user', { credentialFor: 'user', userId: '' }], ['no user', { credentialFor: 'user' }], ['an empty user of any', { credentialFor: 'any', userId: '' }],
    ['nobody', {}], ['a word that is none', { credentialFor: 'bot' }],
  ])('for %s is refused before it is sent', async (_, whose) => {
    const client = open();
    const request = { tenantId: 'org_acme', ...whose } as never;
    await expect(client.getCredential(request)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(client.connect(request)).rejects.toMatchObject({ code: 'invalid_request' });
    expect(double.asked).toEqual([]);
  });

  test('is refused by methods that need one: any could take the installation for the user', async () => {
    const client = open();
    const any = { tenantId: 'org_acme', credentialFor: 'any' } as never;
    for (const call of [client.connect(any), client.connection(any), client.disconnect(any)]) {
      await expect(call).rejects.toMatchObject({ code: 'invalid_request' });
    }
    expect(double.asked).toEqual([]);
  });
});

describe('a credential in use', () => {
  test('is renewed before it ends, and not before its ttl', async () => {
    double.put(bobs, { token: 'one', expires: Date.now() + hour, ttl: 30 });
    const client = open();
    await token(client);
    await token(client);
    double.put(bobs, { token: 'two', expires: Date.now() + 2 * hour, ttl: 30 });
    await passes(29 * second);
    expect(double.count('GET creds/')).toBe(1);
    await passes(5 * second);
    expect(double.count('GET creds/')).toBe(2);
    expect(await client.getCredential(bob)).toMatchObject({ credential: 'two', refreshed: true });
    expect(double.count('GET creds/')).toBe(2);
  });

  test('is renewed before its end if that comes before its ttl', async () => {
    double.put(bobs, { token: 'one', expires: Date.now() + 2 * minute, ttl: 3600 });
    const client = open();
    await token(client);
    await token(client);
    double.put(bobs, { token: 'two', expires: Date.now() + hour, ttl: 3600 });
    await passes(118 * second);
    expect(double.count('GET creds/')).toBe(2);
  });

  test('is read again without a planned refresh, too', async () => {
    double.put(bobs, { token: 'one' });
    const client = open({ maxAge: minute });
    for (let i = 0; i < 600; i++) {
      await token(client);
      await passes(second);
    }
    expect(double.count('GET creds/')).toBeGreaterThanOrEqual(9);
    expect(double.count('GET creds/')).toBeLessThanOrEqual(10);
    expect(await client.getCredential(bob)).toMatchObject({ refreshed: false });
  });

  test('is renewed up to the limit of parallel renewals', async () => {
    const client = open({ parallel: 2 });
    const users = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const userId of users) {
      double.put(`org_acme/facebook/users/${userId}`, { token: userId, ttl: 30 });
      for (let i = 0; i < 2; i++) await token(client, { ...bob, userId });
    }
    let under = 0;
    let most = 0;
    double.meanwhile(async () => {
      most = Math.max(most, ++under);
      await new Promise((resolve) => setTimeout(resolve, 10 * second));
      under--;
    });
    await passes(2 * minute);
    expect(most).toBe(2);
    expect(double.count('GET creds/')).toBe(2 * users.length);
  });

  test('that waited for the limit is renewed as soon as another renewal ends', async () => {
    const client = open({ parallel: 1 });
    for (const userId of ['a', 'b']) {
      double.put(`org_acme/facebook/users/${userId}`, { token: userId, expires: Date.now() + 40 * second });
      for (let i = 0; i < 2; i++) await token(client, { ...bob, userId });
      double.put(`org_acme/facebook/users/${userId}`, { token: userId, expires: Date.now() + hour });
    }
    slowly(2 * second);
    await passes(37 * second);
    expect(double.count('GET creds/')).toBe(4);
  });

  test('is not renewed early if its time is longer than a timer takes', async () => {
    double.put(bobs, { token: 'one' });
    const client = open({ maxAge: 40 * 24 * hour });
    await token(client);
    await token(client);
    await passes(39 * 24 * hour);
    expect(double.count('GET creds/')).toBe(1);
    await passes(6 * 24 * hour);
    expect(double.count('GET creds/')).toBe(2);
  });

  test('is tried ever more often towards its end while Vault is away', async () => {
    for (let i = 0; i < 8; i++) {
      const user = { ...bob, userId: `u${i}` };
      const ref = `org_acme/facebook/users/u${i}`;
      double.put(ref, { token: 'one', expires: Date.now() + 10 * minute, ttl: 30 });
      const client = open();
      for (let i = 0; i < 2; i++) await token(client, user);
      double.meanwhile(() => double.refuse(503, 'Vault is sealed'));
      for (let left = 599; left > 14; left--) {
        await passes(second);
        expect(await token(client, user)).toBe('one');
      }
      double.meanwhile();
      double.put(ref, { token: 'two', expires: Date.now() + hour, ttl: 30 });
      await passes(12 * second);
      expect(await token(client, user)).toBe('two');
    }
  });

  test('is read once at each renewal while Vault is away, because no caller waits', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    let turns = 0;
    const client = open({ onTrouble: () => turns++ });
    await token(client);
    await token(client);
    double.meanwhile(() => double.refuse(503, 'Vault is sealed'));
    await passes(minute);
    expect(turns).toBeGreaterThan(0);
    expect(double.count('GET creds/')).toBe(1 + turns);
    expect(await token(client)).toBe('one');
  });

  test('keeps saying that it replaced another', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    const client = open();
    await token(client);
    double.put(bobs, { token: 'two', ttl: 30 });
    for (let i = 0; i < 3; i++) {
      await token(client);
      await passes(34 * second);
    }
    expect(await client.getCredential(bob)).toMatchObject({ credential: 'two', refreshed: true });
  });

  test('that was forgotten while it waited for a renewal is not renewed', async () => {
    const client = open({ parallel: 1 });
    const both = ['a', 'b'].map((userId) => ({ ...bob, userId }));
    for (const request of both) {
      double.put(`org_acme/facebook/users/${request.userId}`, { token: request.userId, ttl: 30 });
      for (let i = 0; i < 2; i++) await token(client, request);
    }
    slowly(10 * second);
    await passes(34 * second); // one is under way, the other waits
    double.meanwhile();
    const asked = ['a', 'b'].map((userId) => double.count(`GET creds/org_acme/facebook/users/${userId}`));
    expect([...asked].sort()).toEqual([1, 2]);
    const waits = both[asked.indexOf(1)]!;
    client.forget(`org_acme/facebook/users/${waits.userId}`);
    await token(client, waits);
    await passes(10 * second);
    expect(double.count(`GET creds/org_acme/facebook/users/${waits.userId}`)).toBe(2);
  });

  test('that is not read any more costs nothing, and is renewed in the background after the next read', async () => {
    double.put(bobs, { token: 'one', expires: Date.now() + 240 * hour, ttl: 30 });
    const client = open();
    await token(client);
    await passes(5 * minute);
    expect(double.count('GET creds/')).toBe(1);
    double.put(bobs, { token: 'two', expires: Date.now() + 240 * hour, ttl: 30 });
    slowly(second);
    expect(await token(client)).toBe('one');
    await passes(2 * second);
    expect(double.count('GET creds/')).toBe(2);
    expect(await token(client)).toBe('two');
  });

  test('that was idle for long is read again before it is served', async () => {
    double.put(bobs, { token: 'one' });
    const client = open();
    await token(client);
    await passes(24 * hour);
    double.put(bobs, { refusal: 'suspended: the tenant is suspended' });
    await expect(token(client)).rejects.toMatchObject({ code: 'suspended' });
    expect(double.count('GET creds/')).toBe(2);
  });

  test('that was idle for long is served while Vault is away, as long as it lives', async () => {
    double.put(bobs, { token: 'one', expires: Date.now() + 48 * hour });
    const client = open();
    await token(client);
    await passes(24 * hour);
    double.meanwhile(() => double.refuse(503, 'Vault is sealed'));
    const late = token(client);
    await passes(2 * second);
    expect(await late).toBe('one');
    expect(await token(client)).toBe('one'); // and no further read waits
  });
});

describe('a token that has ended', () => {
  test('is never returned, however long Vault is away, and Vault is not overloaded', async () => {
    const ends = Date.now() + 10 * minute;
    double.put(bobs, { token: 'one', expires: ends, ttl: 3600 });
    const client = open({ timeout: second });
    await token(client);
    double.meanwhile(() => double.refuse(503, 'Vault is sealed'));
    let served = 0;
    while (Date.now() < ends + minute) {
      const asked = token(client).then(() => true, (error: AuthpipeError) => {
        expect(error.code).toBe('unavailable');
        return false;
      });
      await passes(0);
      const at = Date.now();
      await passes(second);
      if (await asked) {
        expect(at).toBeLessThan(ends);
        served++;
      }
    }
    expect(served).toBeGreaterThanOrEqual(598);
    expect(double.count('GET creds/')).toBeLessThanOrEqual(150);
    double.meanwhile();
    double.put(bobs, { token: 'two', expires: Date.now() + hour });
    await passes(31 * second);
    expect(await token(client)).toBe('two');
  });

  test.each([['ahead', 24 * hour], ['behind', -24 * hour]])('is measured by the engine\'s clock, even if that is a day %s', async (_, skew) => {
    double.skew = skew;
    double.put(bobs, { token: 'one', expires: Date.now() + skew + 10 * minute });
    const client = open();
    await token(client);
    double.put(bobs, { token: 'two', expires: Date.now() + skew + hour });
    await passes(5 * minute);
    expect(await token(client)).toBe('one');
    await passes(5 * minute);
    expect(await token(client)).toBe('two');
  });

  test.each(['reading', 'reporting'])('is read once more by a caller that was %s when it ended', async (doing) => {
    const client = open();
    double.put(bobs, { token: 'zero' });
    const dead = await client.getCredential(bob);
    double.put(bobs, { token: 'one', expires: Date.now() + 10 * second });
    if (doing === 'reading') client.forget(bobs);
    let wait = 20 * second;
    double.meanwhile(async (request) => {
      if (request.method === 'POST') return undefined;
      const answer = double.answer(`creds/${bobs}`);
      await new Promise((resolve) => setTimeout(resolve, wait));
      return answer;
    });
    const asked = doing === 'reading' ? client.getCredential(bob) : client.reportDead(dead);
    await passes(second);
    double.put(bobs, { token: 'two', expires: Date.now() + hour });
    wait = second;
    await passes(30 * second);
    expect((await asked).credential).toBe('two');
  });

  test('counts as ended a second early, because Vault\'s clock has whole seconds', async () => {
    double.put(bobs, { token: 'one', expires: Date.now() + 10 * second });
    const client = open();
    await token(client);
    double.put(bobs, { refusal: 'failed: it has expired' });
    await passes(9 * second);
    await expect(token(client)).rejects.toMatchObject({ code: 'failed' });
  });

  test('is measured by the client\'s clock if a proxy removes the date', async () => {
    double.put(bobs, { token: 'one', expires: Date.now() + 10 * minute });
    double.meanwhile((request) => {
      const answer = double.answer(decodeURIComponent(new URL(request.url).pathname).replace('/v1/authpipe/', ''));
      answer.headers.delete('date');
      return answer;
    });
    const client = open({ maxAge: hour });
    expect(await token(client)).toBe('one');
    await passes(5 * minute);
    double.put(bobs, { refusal: 'failed: it has expired' });
    await passes(5 * minute);
    await expect(token(client)).rejects.toMatchObject({ code: 'failed' });
  });

  test('does not live again when the wall clock is set back', async () => {
    double.put(bobs, { token: 'one', expires: Date.now() + hour });
    const client = open({ maxAge: 2 * hour });
    await token(client);
    await passes(59 * minute);
    vi.setSystemTime(Date.now() - 24 * hour);
    double.put(bobs, { refusal: 'failed: it has expired' });
    await passes(minute);
    await expect(token(client)).rejects.toMatchObject({ code: 'failed' });
  });

  test('has ended during the machine\'s sleep, which the monotonic clock misses', async () => {
    double.put(bobs, { token: 'one', expires: Date.now() + hour });
    const client = open({ maxAge: 2 * hour });
    await token(client);
    vi.setSystemTime(Date.now() + hour);
    double.put(bobs, { token: 'two', expires: Date.now() + hour });
    expect(await token(client)).toBe('two');
    // and setting the clock back afterwards does not change that
    vi.setSystemTime(Date.now() - 24 * hour);
    await passes(30 * minute);
    expect(await token(client)).toBe('two');
    vi.setSystemTime(Date.now() + 30 * minute); // the machine sleeps once more
    double.put(bobs, { refusal: 'failed: it has expired' });
    await expect(token(client)).rejects.toMatchObject({ code: 'failed' });
  });

  test('is not affected by a slewed wall clock', async () => {
    double.put(bobs, { token: 'one', expires: Date.now() + 12 * second });
    const client = open();
    for (let i = 0; i < 40; i++) {
      expect(await token(client)).toBe('one');
      vi.setSystemTime(Date.now() + (i % 2 ? 900 : -900));
    }
    expect(double.count('GET creds/')).toBe(1);
  });

  test('is measured by the clock in the options', async () => {
    let clock = 0;
    double.put(bobs, { token: 'one', expires: Date.now() + hour });
    const client = open({ now: () => clock, maxAge: 2 * hour });
    await token(client);
    double.put(bobs, { token: 'two', expires: Date.now() + 3 * hour });
    clock += hour;
    expect(await token(client)).toBe('two');
  });
});

describe('a living credential', () => {
  test.each([
    ['is out of service if it is dead', 409, 'needs_reauth: it is dead', false],
    ['is out of service if it was taken away', 409, 'revoked: it was taken away', false],
    ['is out of service if it has failed', 409, 'failed: it has expired', false],
    ['is out of service if its tenant is suspended', 409, 'suspended: the tenant is suspended', false],
    ['is out of service if it is gone', 404, 'not_found: there is none', false],
    ['is out of service if the caller may not read it', 403, 'permission denied', false],
    ['is served while the provider throttles', 429, 'throttled: until noon', true],
    ['is served while the provider refuses the client', 424, 'misconfigured: the client is refused', true],
    ['is served while the provider is away', 502, 'unavailable: Facebook is down', true],
    ['is served while Vault is sealed', 503, 'Vault is sealed', true],
    ['is served while Vault has trouble', 500, 'internal error', true],
    ['is out of service if the mount is gone', 404, 'no handler for route "authpipe/". route entry not found.', false],
    ['is out of service if another engine is mounted there', 404, 'unsupported path', false],
    ['is served while the plugin does not start', 404, 'no handler for route "authpipe/". route entry found, but backend is nil.', true],
    ['is served while Vault does not know the client\'s token', 403, 'permission denied\n\t* invalid token', true],
    ['is served while a quota of Vault\'s is used up', 429, 'rate limit quota exceeded', true],
  ])('%s', async (_, status, refusal, served) => {
    double.put(bobs, { token: 'one', expires: Date.now() + hour, ttl: 30 });
    const troubles: string[] = [];
    const client = open({ onTrouble: ({ error, ref }) => troubles.push(`${ref} ${error.code}`) });
    await token(client);
    await token(client);
    double.put(bobs, { status, refusal });
    await passes(35 * second);
    expect(double.count('GET creds/')).toBeGreaterThanOrEqual(2);
    if (served) {
      expect(await token(client)).toBe('one');
      expect(troubles[0]).toContain(`${bobs} `);
    } else {
      await expect(token(client)).rejects.toBeInstanceOf(AuthpipeError);
      expect(troubles).toEqual([]);
    }
  });

  test('is taken out of service by a typed error that says how to repair it', async () => {
    const page = { ...bob, pageId: '7' };
    double.put(`${bobs}/pages/7`, { refusal: 'needs_reauth: it is dead; connect it again' });
    const client = open();
    const needs = await client.getCredential(page).catch((error: unknown) => error);
    expect(needs).toBeInstanceOf(NeedsReauthError);
    expect(needs).toMatchObject({ code: 'needs_reauth', needsReauth: true, ref: `${bobs}/pages/7`, connectPath: `connect/${bobs}`, status: 409 });
    const none = await client.getCredential({ ...bob, credentialFor: 'any' }).catch((error: unknown) => error);
    expect(none).toBeInstanceOf(NotConnectedError);
    expect(none).toMatchObject({ code: 'not_found', needsReauth: false, ref: installation, connectPath: `connect/${installation}` });
  });
});

describe('an outage', () => {
  const outages: [string, () => Response][] = [
    ['Vault is sealed', () => double.refuse(503, 'Vault is sealed')],
    ['the plugin does not start', () => double.refuse(404, 'no handler for route "authpipe/". route entry found, but backend is nil.')],
    ['the token has ended', () => double.refuse(403, 'permission denied', 'invalid token')],
    ['a proxy has no backend', () => new Response('<h1>default backend</h1>', { status: 404 })],
    ['the provider throttles', () => double.refuse(429, 'throttled: until noon')],
  ];
  const bounds: [string, number | undefined, number, number][] = [
    ['a day', undefined, 24 * hour, 24 * hour + 6 * minute], ['an hour', hour, hour, 66 * minute], ['no time', 0, 5 * minute, 6 * minute],
  ];
  test.each(outages.flatMap((outage) => bounds.map((bound) => [...outage, ...bound] as const)))(
    'in which %s is bridged, and not for longer than may: %o, %s', async (_, answers, __, maxStale, least, most) => {
      double.put(bobs, { token: 'never ends' });
      const client = open({ maxStale, timeout: second });
      await token(client);
      double.meanwhile(answers);
      let ended: number | undefined;
      for (let since = 0; since < most + hour; since += 20 * second) {
        const served = await Promise.race([client.getCredential(bob).then(() => true, () => false), passes(3 * second).then(() => undefined)]);
        if (served === true) expect(ended).toBeUndefined();
        else ended ??= since;
        await passes(17 * second);
      }
      expect(ended).toBeGreaterThanOrEqual(least - 20 * second);
      expect(ended).toBeLessThanOrEqual(most + 20 * second);
      double.meanwhile();
      await passes(31 * second);
      expect(await token(client)).toBe('never ends');
    });

  test('longer than maxStale ends an unread credential, and a refusal', async () => {
    double.put(bobs, { token: 'never ends' });
    const client = open();
    await token(client);
    await expect(client.getCredential({ ...bob, userId: 'stranger' })).rejects.toMatchObject({ code: 'not_found' });
    double.meanwhile(() => double.refuse(503, 'Vault is sealed'));
    await passes(25 * hour);
    for (const userId of ['bob', 'stranger']) {
      const refused = expect(client.getCredential({ ...bob, userId })).rejects.toMatchObject({ code: 'unavailable' });
      await passes(10 * second);
      await refused;
    }
  });
});

describe('a refusal', () => {
  test('is cached for half a minute, and renewed in the background', async () => {
    const client = open();
    for (let i = 0; i < 10; i++) await expect(token(client)).rejects.toMatchObject({ code: 'not_found' });
    expect(double.count('GET creds/')).toBe(1);
    double.put(bobs, { token: 'one' });
    await passes(31 * second);
    expect(await token(client)).toBe('one');
  });

  test('is served while Vault cannot be reached', async () => {
    double.put(bobs, { refusal: 'revoked: bob took it away' });
    const client = open();
    await expect(token(client)).rejects.toMatchObject({ code: 'revoked' });
    double.meanwhile(() => double.refuse(503, 'Vault is sealed'));
    for (let i = 0; i < 120; i++) {
      await expect(token(client)).rejects.toMatchObject({ code: 'revoked' });
      await passes(second);
    }
  });

  test('without a name is not sent', async () => {
    const client = open();
    for (const request of [
      { tenantId: 'a/b', credentialFor: 'installation' }, { tenantId: '', credentialFor: 'installation' }, { tenantId: 'a..b', credentialFor: 'installation' },
      { tenantId: 'a', credentialFor: 'user' }, { tenantId: 'a', credentialFor: 'user', userId: '../installation' }, { tenantId: 'a', credentialFor: 'page' },
      { tenantId: 7, credentialFor: 'installation' }, { tenantId: 'a', provider: 'x/y', credentialFor: 'installation' }, { tenantId: 'a' },
      { tenantId: 'a', credentialFor: 'static', provider: 'stripe' },
    ]) {
      await expect(client.getCredential(request as unknown as CredentialRequest)).rejects.toMatchObject({ code: 'invalid_request' });
    }
    expect(double.asked).toEqual([]);
  });
});

describe('a credential that is reported dead', () => {
  test('by many callers is checked once and replaced', async () => {
    double.put(bobs, { token: 'one' });
    const client = open();
    const dead = await client.getCredential(bob);
    double.meanwhile(async (request) => {
      await new Promise((resolve) => setTimeout(resolve, second));
      if (request.method === 'POST') double.put(bobs, { token: 'two' });
    });
    const reports = Promise.all(Array.from({ length: 32 }, () => client.reportDead(dead)));
    const reads = Promise.all(Array.from({ length: 32 }, () => token(client)));
    await passes(3 * second);
    for (const fresh of await reports) expect(fresh).toMatchObject({ credential: 'two', refreshed: true });
    expect(new Set(await reads)).toEqual(new Set(['two']));
    await client.reportDead(dead); // a late report
    expect(double.count('POST connections/')).toBe(1);
    expect(double.count('GET creds/')).toBe(2);
  });

  test('and found alive is not checked again for a minute', async () => {
    double.put(bobs, { token: 'one' });
    const client = open();
    const alive = await client.getCredential(bob);
    for (let i = 0; i < 59; i++) {
      await client.reportDead(alive);
      await passes(second);
    }
    expect(double.count('POST connections/')).toBe(1);
    await passes(2 * second);
    await client.reportDead(alive);
    expect(double.count('POST connections/')).toBe(2);
  });

  test('and found dead is not served any more', async () => {
    double.put(bobs, { token: 'one', check: 'revoked: bob took it away' });
    const client = open();
    await expect(client.reportDead(await client.getCredential(bob))).rejects.toMatchObject({ code: 'revoked', connectPath: `connect/${bobs}` });
    await expect(token(client)).rejects.toMatchObject({ code: 'revoked' });
  });

  test('and found alive is not checked again within a minute after a renewal either', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    const client = open();
    const alive = await client.reportDead(await client.getCredential(bob));
    await token(client);
    await passes(40 * second);
    expect(double.count('GET creds/')).toBe(3);
    await client.reportDead(alive);
    expect(double.count('POST connections/')).toBe(1);
  });

  test('and found alive does not keep its successor from being checked', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    const client = open();
    await client.reportDead(await client.getCredential(bob));
    await token(client);
    double.put(bobs, { token: 'two', ttl: 30 });
    await passes(34 * second);
    const other = await client.getCredential(bob);
    expect(other.credential).toBe('two');
    await client.reportDead(other);
    expect(double.count('POST connections/')).toBe(2);
  });

  test('and cannot be checked for now is checked seconds later, once for all callers', async () => {
    double.put(bobs, { token: 'one' });
    const client = open();
    const dead = await client.getCredential(bob);
    double.meanwhile((request) => (request.method === 'POST' ? double.refuse(429, 'throttled: until noon') : undefined));
    for (let i = 0; i < 40; i++) {
      expect((await client.reportDead(dead)).credential).toBe('one');
      await passes(100);
    }
    expect(double.count('POST connections/')).toBe(1);
    expect(double.count('GET creds/')).toBe(2);
    await passes(2 * second);
    await client.reportDead(dead);
    expect(double.count('POST connections/')).toBe(2);
  });

  test('and cannot be checked for now is checked before it is renewed', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    const client = open();
    const dead = await client.getCredential(bob);
    double.meanwhile((request) => (request.method === 'POST' ? double.refuse(429, 'throttled: until noon') : undefined));
    await client.reportDead(dead);
    double.meanwhile();
    double.put(bobs, { token: 'one', ttl: 30, check: 'revoked: bob took it away' });
    await token(client);
    await passes(34 * second);
    await expect(token(client)).rejects.toMatchObject({ code: 'revoked' });
    expect(double.count('POST connections/')).toBe(2);
  });

  test('is not checked again and again if no policy allows it', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    const client = open();
    const dead = await client.getCredential(bob);
    double.meanwhile((request) => (request.method === 'POST' ? double.refuse(403, 'permission denied') : undefined));
    for (let i = 0; i < 50; i++) {
      await client.reportDead(dead);
      await passes(second);
    }
    expect(double.count('POST connections/')).toBe(1);
  });

  test('is read again if no policy allows a check', async () => {
    double.put(bobs, { token: 'one' });
    const client = open();
    const dead = await client.getCredential(bob);
    double.put(bobs, { token: 'two' });
    double.meanwhile((request) => (request.method === 'POST' ? double.refuse(403, 'permission denied') : undefined));
    expect((await client.reportDead(dead)).credential).toBe('two');
  });

  test('does not come back with a read that began before', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    const client = open();
    const dead = await client.getCredential(bob);
    await token(client);
    double.meanwhile(async (request) => {
      if (request.method === 'POST') return;
      const answer = double.answer(`creds/${bobs}`);
      await new Promise((resolve) => setTimeout(resolve, 5 * second));
      return answer;
    });
    await passes(34 * second); // the renewal is under way with the former token
    expect(double.count('GET creds/')).toBe(2);
    double.put(bobs, { token: 'two' });
    const fresh = client.reportDead(dead);
    await passes(20 * second);
    expect((await fresh).credential).toBe('two');
    expect(await token(client)).toBe('two');
  });

  test('and was replaced already is not checked', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    const client = open();
    const dead = await client.getCredential(bob);
    await token(client);
    double.put(bobs, { token: 'two' });
    slowly(5 * second);
    await passes(34 * second);
    const fresh = client.reportDead(dead);
    await passes(20 * second);
    expect((await fresh).credential).toBe('two');
    expect(double.count('POST')).toBe(0);
  });

  test('during its renewal is checked, even if the renewal returns it again', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    const client = open();
    const dead = await client.getCredential(bob);
    await token(client);
    slowly(5 * second);
    await passes(34 * second); // the renewal is under way
    const fresh = client.reportDead(dead);
    await passes(20 * second);
    expect((await fresh).credential).toBe('one');
    expect(double.count('POST connections/')).toBe(1);
  });

  test('long after it was replaced is not checked', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    const client = open();
    const dead = await client.getCredential(bob);
    await token(client);
    double.put(bobs, { token: 'two', ttl: 30 });
    await passes(34 * second);
    expect((await client.reportDead(dead)).credential).toBe('two');
    expect(double.count('POST connections/')).toBe(0);
    expect(double.count('GET creds/')).toBe(2);
  });

  test('and is static is read again, without a check', async () => {
    double.put('org_acme/stripe/static/key', { token: 'sk_one' });
    const client = open();
    const key = await client.getCredential({ tenantId: 'org_acme', provider: 'stripe', credentialFor: 'static', name: 'key' });
    double.put('org_acme/stripe/static/key', { token: 'sk_two' });
    expect((await client.reportDead(key)).credential).toBe('sk_two');
    expect(double.count('POST')).toBe(0);
  });
});

describe('forgetting', () => {
  const page = { ...bob, pageId: '7' };

  test('drops a credential and the pages below it, and nothing else', async () => {
    for (const ref of [bobs, `${bobs}/pages/7`, installation]) double.put(ref, { token: 'one' });
    const client = open();
    for (let i = 0; i < 2; i++) {
      for (const request of [bob, page, acme]) await token(client, request);
      client.forget(bobs);
      for (const none of ['no ref', '', '/', `${installation}/x`, `/${installation}`, 'org_acme/facebook', 'org_acme/']) client.forget(none);
    }
    expect(double.count(`GET creds/${bobs}`)).toBe(4);
    expect(double.count(`GET creds/${installation}`)).toBe(1);
  });

  test('drops a tenant with all its credentials, as an event of its suspension names it', async () => {
    for (const ref of [bobs, installation, 'org_acme/stripe/static/key', 'org_other/facebook/users/bob']) double.put(ref, { token: 'one' });
    const client = open();
    const all: CredentialRequest[] = [bob, acme, { tenantId: 'org_acme', provider: 'stripe', credentialFor: 'static', name: 'key' }, { ...bob, tenantId: 'org_other' }];
    for (let i = 0; i < 2; i++) {
      for (const request of all) await token(client, request);
      client.forget('org_acme');
    }
    expect(double.count('GET creds/')).toBe(7);
  });

  test('makes a read that is under way run once more', async () => {
    double.put(bobs, { token: 'one' });
    double.put(`${bobs}/pages/7`, { token: 'one' });
    double.meanwhile(async (request) => {
      const answer = double.answer(decodeURIComponent(new URL(request.url).pathname).replace('/v1/authpipe/', ''));
      await new Promise((resolve) => setTimeout(resolve, second));
      return answer;
    });
    const client = open();
    const both = Promise.all([token(client), token(client, page)]);
    await passes(100);
    double.put(bobs, { token: 'two' });
    double.put(`${bobs}/pages/7`, { token: 'two' });
    client.forget(bobs);
    await passes(3 * second);
    expect(await both).toEqual(['two', 'two']);
  });

  test('drops everything under an installation that is disconnected', async () => {
    for (const ref of [bobs, installation, 'org_acme/facebook/static/hook', 'org_other/facebook/users/bob']) double.put(ref, { token: 'one' });
    const client = open();
    const all: CredentialRequest[] = [bob, acme, { tenantId: 'org_acme', provider: 'facebook', credentialFor: 'static', name: 'hook' }, { ...bob, tenantId: 'org_other' }];
    for (const request of all) await token(client, request);
    double.meanwhile((request) => (request.method === 'DELETE' ? new Response(null, { status: 204 }) : undefined));
    expect(await client.disconnect(acme)).toEqual([]);
    for (const request of all) await token(client, request);
    expect(double.count('GET creds/')).toBe(6);
  });
});

describe('a full cache', () => {
  test('evicts the credential that is read least', async () => {
    const client = open({ size: 2 });
    for (const userId of ['a', 'b', 'c']) double.put(`org_acme/facebook/users/${userId}`, { token: userId });
    const ask = (userId: string) => token(client, { ...bob, userId });
    for (const userId of ['a', 'b', 'a', 'c', 'a']) await ask(userId);
    expect(double.count('GET creds/org_acme/facebook/users/a')).toBe(1);
    await ask('b');
    expect(double.count('GET creds/org_acme/facebook/users/b')).toBe(2);
  });

  test('evicts nothing for an answer that is an outage', async () => {
    double.put(bobs, { token: 'one' });
    const client = open({ size: 1 });
    await token(client);
    double.meanwhile((request) => (request.url.includes('installation') ? double.refuse(502, 'unavailable: Facebook is down') : undefined));
    await expect(token(client, acme)).rejects.toMatchObject({ code: 'unavailable' });
    await token(client);
    expect(double.count(`GET creds/${bobs}`)).toBe(1);
  });

  test('joins the renewal of a credential that was evicted meanwhile', async () => {
    double.put(bobs, { token: 'one', ttl: 30 });
    double.put(installation, { token: 'two' });
    const client = open({ size: 1 });
    await token(client);
    await token(client);
    double.meanwhile((request) => (request.url.endsWith('/bob') ? new Promise((resolve) => setTimeout(resolve, 10 * second)) : undefined));
    await passes(34 * second);
    expect(double.count(`GET creds/${bobs}`)).toBe(2);
    await token(client, acme);
    const again = token(client);
    await passes(10 * second);
    expect(await again).toBe('one');
    expect(double.count(`GET creds/${bobs}`)).toBe(2);
  });
});

test.each([0, -1, NaN])('an option of %d means the default', async (none) => {
  double.put(bobs, { token: 'one', ttl: 30 });
  const client = open({ size: none, parallel: none, timeout: none, maxAge: none, refusalAge: none, mount: '' });
  slowly(second);
  const first = token(client);
  await passes(second);
  expect(await first).toBe('one');
  expect(await token(client)).toBe('one');
  await passes(40 * second);
  expect(double.count('GET creds/')).toBe(2);
});

test('a time beyond the longest timer does not fire at once', async () => {
  double.put(bobs, { token: 'one' });
  const timers = vi.spyOn(globalThis, 'setTimeout');
  const client = open({ timeout: Infinity, maxAge: 1e12, size: Infinity });
  for (let i = 0; i < 2; i++) expect(await token(client)).toBe('one');
  expect(timers.mock.calls.length).toBeGreaterThan(1);
  for (const [, ms] of timers.mock.calls) expect(ms).toBeLessThan(2 ** 31);
  timers.mockRestore();
});

test('an answer after closing is dropped', async () => {
  double.put(bobs, { token: 'one' });
  const client = open();
  slowly(second); // aborted or not
  const waiting = expect(token(client)).rejects.toMatchObject({ code: 'closed' });
  await passes(100);
  await client.close();
  await passes(2 * second);
  await waiting;
  expect(vi.getTimerCount()).toBe(0);
});

test('closing ends everything', async () => {
  double.put(bobs, { token: 'one' });
  const client = open();
  await token(client);
  double.meanwhile((request) => new Promise((_, reject) => request.signal.addEventListener('abort', () => reject(new Error('aborted')))));
  const waiting = expect(token(client, acme)).rejects.toMatchObject({ code: 'closed' });
  await passes(0);
  await client.close();
  await waiting;
  await expect(token(client)).rejects.toMatchObject({ code: 'closed' });
  await expect(client.session('org_acme', 'x'.repeat(43))).rejects.toMatchObject({ code: 'closed' });
  expect(vi.getTimerCount()).toBe(0);
  await client.close();
});
