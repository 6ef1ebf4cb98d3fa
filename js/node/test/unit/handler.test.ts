import { createHash } from 'node:crypto';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { AuthpipeError, type Authpipe, type HandlerOptions, type ReturnMessage } from '../../src/index.js';
import { clientOf, Double } from '../double.js';

const own = 'https://app.example.com';
const id = 'S'.repeat(43);
const bobs = 'org_acme/facebook/users/bob';
const canary = 'EAAcanaryCANARYcanary';

let double: Double;
let client: Authpipe;
let session: Record<string, unknown>;
let completing: (body: Record<string, unknown>) => Response;
let written: Record<string, unknown>[];
let who: Awaited<ReturnType<HandlerOptions['authenticate']>>;
let errors: unknown[];

const connection = { ref: bobs, tenant_id: 'org_acme', provider: 'facebook', user_id: 'bob', credential_for: 'user', credential_type: 'oauth_token',
  status: 'active', scopes: ['email'], missing_scopes: ['pages_show_list'], connected_at: '2026-11-23T12:00:00Z', provider_user_id: '7',
  connected_by: { actor: 'bob' }, access_token: canary, expires_at: '2027-01-22T12:00:00Z' };

beforeEach(() => {
  double = new Double();
  client = clientOf(double);
  who = { tenantId: 'org_acme', userId: 'bob', mayInstall: false };
  session = { session_id: id, ref: bobs, provider: 'facebook', credential_for: 'user', actor: 'bob', status: 'authorized', created_at: '2026-11-23T12:00:00Z', expires_at: '2026-11-23T12:10:00Z' };
  completing = () => double.reply(connection);
  written = [];
  errors = [];
  double.meanwhile(async (request) => {
    const path = decodeURIComponent(new URL(request.url).pathname).replace('/v1/authpipe/', '');
    if (request.method === 'POST') written.push((await request.clone().json()) as Record<string, unknown>);
    if (path.startsWith('connect/')) {
      const expires_at = new Date(Date.now() + 600_000).toISOString();
      return double.reply({ session_id: id, expires_at, completion: 'confirm', authorization_url: 'https://f.test/dialog?state=x' });
    }
    if (path.endsWith('/complete')) return completing(written.at(-1)!);
    if (path === `sessions/org_acme/${id}`) return request.method === 'DELETE' ? new Response(null, { status: 204 }) : double.reply(session);
    if (path.startsWith('sessions/')) return double.refuse(404, 'not_found: there is no such session');
    if (request.method === 'DELETE') return new Response(null, { status: 204 });
    return undefined;
  });
});

afterEach(() => client.close());

function handler(options: Partial<HandlerOptions> = {}) {
  return client.handler({ authenticate: () => who, origin: own, onError: (error) => errors.push(error), ...options });
}

const post = (path: string, body: unknown, headers: Record<string, string> = {}) => new Request(`${own}${path}`, {
  method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin', ...headers },
});
const get = (path: string, headers: Record<string, string> = {}) => new Request(`${own}${path}`, { headers });
const forUser = { provider: 'facebook', for: 'user' };

describe('a start', () => {
  test('begins a session for the person who is signed in, whatever the page says', async () => {
    const response = await handler({ scopes: ['email'] })(post('/authpipe/start', { ...forUser, scopes: ['email'], reauthorize: true, tenantId: 'evil', userId: 'eve', actor: 'eve' }));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ sessionId: id, authorizationUrl: 'https://f.test/dialog?state=x', expiresAt: expect.stringMatching(/^\d{4}-.*Z$/) });
    expect(double.asked).toContain(`POST connect/${bobs}`);
    expect(written[0]).toEqual({ actor: 'bob', return_url: `${own}/authpipe/return`, scopes: ['email'], reauthorize: true });
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('set-cookie')).toBeNull();
  });

  test('of an installation needs mayInstall', async () => {
    const start = () => handler()(post('/authpipe/start', { provider: 'facebook', for: 'installation' }));
    expect((await start()).status).toBe(403);
    expect(await (await start()).json()).toMatchObject({ error: { code: 'forbidden' } });
    who = { tenantId: 'org_acme', userId: 'alice', mayInstall: true };
    expect((await start()).status).toBe(200);
    expect(double.asked).toContain('POST connect/org_acme/facebook/installation');
    expect(written[0]).toMatchObject({ actor: 'alice' });
  });

  test('of an installation needs mayInstall to be true, and not a truthy text', async () => {
    who = { tenantId: 'org_acme', userId: 'bob', mayInstall: 'false' as unknown as boolean };
    expect((await handler()(post('/authpipe/start', { for: 'installation' }))).status).toBe(403);
  });

  test.each<[string, string[] | undefined, unknown, number]>([
    ['none are listed', undefined, ['email'], 400], ['an empty list', [], ['email'], 400], ['one of two is not listed', ['email'], ['email', 'ads_management'], 400],
    ['all are listed', ['user_posts', 'email'], ['email', 'user_posts'], 200], ['none are asked for', undefined, undefined, 200], ['an empty list is asked for', undefined, [], 200],
    ['no list is asked for', ['email'], 'email', 400],
  ])('takes scopes from a page only if the application lists them: %s', async (_, scopes, asked, status) => {
    who = { tenantId: 'org_acme', userId: 'alice', mayInstall: true };
    for (const whose of ['user', 'installation']) {
      const response = await handler({ scopes })(post('/authpipe/start', { for: whose, scopes: asked }));
      expect(response.status).toBe(status);
      if (status === 400) expect(await response.json()).toMatchObject({ error: { code: 'invalid_request' } });
    }
    expect(written.length).toBe(status === 200 ? 2 : 0);
  });

  test('that onStart turns into an installation needs mayInstall', async () => {
    const onStart: HandlerOptions['onStart'] = (connect) => ({ ...connect, credentialFor: 'installation', actor: 'bob' });
    expect((await handler({ onStart })(post('/authpipe/start', forUser))).status).toBe(403);
    expect(written).toEqual([]);
  });

  test('may be changed and refused by the application, except for the person who begins it', async () => {
    const onStart: HandlerOptions['onStart'] = (connect) => ({ ...connect, actor: 'eve', tenantId: 'evil', scopes: ['email', 'user_posts'] });
    await handler({ onStart })(post('/authpipe/start', forUser));
    expect(double.asked).toContain(`POST connect/${bobs}`);
    expect(written[0]).toMatchObject({ actor: 'bob', scopes: ['email', 'user_posts'] });
    const refuse = handler({ onStart: () => { throw new AuthpipeError({ op: 'starting', code: 'suspended', message: 'not today', status: 409 }); } });
    expect((await refuse(post('/authpipe/start', forUser))).status).toBe(409);
  });

  test.each([
    ['another site\'s page', { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://evil.test' }, 403],
    ['a sibling\'s page', { 'Sec-Fetch-Site': 'same-site', Origin: 'https://other.example.com' }, 403],
    ['an unknown source', { 'Sec-Fetch-Site': '' }, 403],
    ['an older browser\'s other page', { 'Sec-Fetch-Site': '', Origin: 'https://evil.test' }, 403],
    ['an older browser\'s own page', { 'Sec-Fetch-Site': '', Origin: own }, 200],
    ['a form', { 'Content-Type': 'text/plain' }, 403],
    ['a form that pretends', { 'Content-Type': 'text/plain; application/json' }, 403],
    ['a form that pretends otherwise', { 'Content-Type': 'application/jsonp' }, 403],
    ['JSON with a charset', { 'Content-Type': 'application/json; charset=utf-8' }, 200],
  ])('that comes from %s', async (_, headers, status) => {
    const request = post('/authpipe/start', forUser, headers);
    if (headers['Sec-Fetch-Site' as keyof typeof headers] === '') request.headers.delete('sec-fetch-site');
    const response = await handler()(request);
    expect(response.status).toBe(status);
    if (status === 403) expect(await response.json()).toMatchObject({ error: { code: 'forbidden' } });
    expect(written.length).toBe(status === 200 ? 1 : 0);
  });

  test.each(['app.example.com:3000', 'file:///app', 'localhost:3000'])('refuses an own origin that is "null": %s', async (origin) => {
    // A sandboxed frame of any site sends Origin: null.
    expect(() => handler({ origin })).toThrow('origin');
  });

  test('with a contradicting header is refused', async () => {
    expect((await handler()(post('/authpipe/start', forUser, { 'Sec-Fetch-Site': 'cross-site', Origin: own }))).status).toBe(403);
  });

  test.each([
    ['no object', '[]'], ['no JSON', '{'], ['for nobody', '{"provider":"facebook"}'], ['scopes of no strings', '{"for":"user","scopes":[1]}'],
    ['a provider of no string', '{"for":"user","provider":{}}'], ['a provider that leads elsewhere', '{"for":"user","provider":"../x"}'],
  ])('with %s is refused', async (_, body) => {
    const request = new Request(`${own}/authpipe/start`, { method: 'POST', body, headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin' } });
    const response = await handler()(request);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_request' } });
  });

  test('that is too long is not read', async () => {
    expect((await handler()(post('/authpipe/start', { ...forUser, more: 'x'.repeat(100_000) }))).status).toBe(413);
  });
});

describe('the path to return to', () => {
  const starting = (returnTo: string) => handler()(post('/authpipe/start', { ...forUser, returnTo }));
  const returning = async (returnTo: string, cookieOf = (cookie: string) => cookie) => {
    const started = await starting(returnTo);
    const cookie = cookieOf(started.headers.get('set-cookie')!.split(';')[0]!);
    const page = await handler()(get(`/authpipe/return?session_id=${id}&connect_code=c`, { Cookie: `a=b; ${cookie}; c=d` }));
    const html = await page.text();
    return { cookie: started.headers.get('set-cookie')!, page, html, ...data(html) };
  };

  test('is stored in a cookie that no script reads, and dropped after use', async () => {
    const { cookie, returnTo, page } = await returning('/settings?tab=facebook#top');
    expect(cookie).toMatch(/^__Host-authpipe-S{16}=[A-Za-z0-9_-]+; Path=\/; Max-Age=(600|5\d\d); HttpOnly; SameSite=Lax; Secure$/);
    expect(returnTo).toBe('/settings?tab=facebook#top');
    expect((await returning('/settings?a=1&lt=2')).html).toContain('href="/settings?a=1&#38;lt=2"');
    expect(page.headers.get('set-cookie')).toMatch(/^__Host-authpipe-S{16}=; Path=\/; Max-Age=0/);
  });

  test.each(['https://evil.test/', '//evil.test/', '/\\evil.test', 'javascript:alert(1)', '/\n/evil.test', '/.//evil.test', 'settings', '', `/${'x'.repeat(3000)}`, `/${'\u4e2d'.repeat(2000)}`, '/\t/evil.test', '/..//evil.test'])(
    'is refused if it is not a path of the application: %j', async (returnTo) => {
      expect((await starting(returnTo)).status).toBe(400);
    });

  test.each([
    ['of another session', 'T'.repeat(43), '/x'], ['that leads elsewhere', id, 'https://evil.test/'], ['of no path', id, 7], ['of nothing', id, undefined],
  ])('is not taken from a cookie %s', async (_, of, to) => {
    const { returnTo } = await returning('/settings', (cookie) => `${cookie.split('=')[0]}=${Buffer.from(JSON.stringify({ session: of, to })).toString('base64url')}`);
    expect(returnTo).toBeUndefined();
  });

  test.each([['short', '/settings', 4], ['as long as may be', `/${'x'.repeat(2000)}`, 1]])('of abandoned starts does not fill the header: %s', async (_, returnTo, most) => {
    const jar = new Map([['login', 'abc'], ['authpipe', 'own'], ['__Host-other', 'x']]);
    for (let i = 0; i < 30; i++) {
      const sessionId = `${String(i).padStart(3, '0')}${'S'.repeat(40)}`;
      double.meanwhile(() => double.reply({ session_id: sessionId, expires_at: new Date(Date.now() + 600_000).toISOString(), authorization_url: 'https://f.test/' }));
      const Cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
      const started = await handler()(post('/authpipe/start', { ...forUser, returnTo }, { Cookie }));
      for (const cookie of started.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie)!;
        if (cookie.includes('Max-Age=0')) jar.delete(name);
        else jar.set(name, value);
      }
    }
    const own = [...jar].filter(([name]) => name.startsWith('__Host-authpipe-'));
    expect(own).toHaveLength(most);
    expect(own.map(([name, value]) => name + value).join('').length).toBeLessThan(4096);
    expect(own.at(-1)![0]).toBe(`__Host-authpipe-029${'S'.repeat(13)}`);
    expect([...jar.keys()].slice(0, 3)).toEqual(['login', 'authpipe', '__Host-other']);
  });

  test('is not taken from the URL', async () => {
    const page = await handler()(get(`/authpipe/return?session_id=${id}&connect_code=c&returnTo=/x&return_to=/x`));
    expect(data(await page.text()).returnTo).toBeUndefined();
  });
});

/** data returns the input of the page's script. */
function data(html: string): { message: ReturnMessage; returnTo?: string } {
  return JSON.parse(/<script type="application\/json" id="authpipe">(.*?)<\/script>/s.exec(html)![1]!) as { message: ReturnMessage; returnTo?: string };
}

describe('a return', () => {
  const comes = async (query = 'connect_code=CODE-1', options: Partial<HandlerOptions> = {}) => {
    const page = await handler(options)(get(`/authpipe/return?session_id=${id}&${query}`));
    const html = await page.text();
    expect(html).not.toContain(canary);
    expect(html).not.toContain('CODE-1');
    return { status: page.status, headers: page.headers, html, ...data(html) };
  };

  test('with an empty code does not count as a wrong one', async () => {
    session = { ...session, status: 'pending' };
    expect((await comes('connect_code=')).message).toMatchObject({ outcome: 'failed', error: { code: 'pending' } });
    expect(written).toEqual([]);
  });

  test('stays connected if onConnected fails, and onError receives the error', async () => {
    const { status, message } = await comes(undefined, { onConnected: () => Promise.reject(new Error(canary)) });
    expect(status).toBe(200);
    expect(message).toMatchObject({ outcome: 'connected', connection: { status: 'active' } });
    expect(errors).toMatchObject([{ message: canary }]);
  });

  test('completes the session for the person who is signed in now, without a token in the page', async () => {
    const received: unknown[] = [];
    const { status, message } = await comes(undefined, { onConnected: (made, by) => { received.push(made.ref, by.userId); } });
    expect(status).toBe(200);
    expect(message).toEqual({
      source: 'authpipe', sessionId: id, provider: 'facebook', for: 'user', outcome: 'connected',
      connection: { provider: 'facebook', for: 'user', status: 'active', scopes: ['email'], missingScopes: ['pages_show_list'],
        connectedAt: '2026-11-23T12:00:00.000Z', expiresAt: '2027-01-22T12:00:00.000Z', providerUserId: '7', needsReauth: false },
    });
    expect(written.at(-1)).toEqual({ actor: 'bob', connect_code: 'CODE-1' });
    expect(received).toEqual([bobs, 'bob']);
  });

  test('of another person is refused by the engine, which receives that person as the actor', async () => {
    who = { tenantId: 'org_acme', userId: 'mallory', mayInstall: false };
    completing = (body) => (body.actor === 'bob' ? double.reply(connection) : double.refuse(409, 'actor_mismatch: the session was begun for another actor'));
    const { status, message } = await comes();
    expect(written.at(-1)).toEqual({ actor: 'mallory', connect_code: 'CODE-1' });
    expect(status).toBe(409);
    expect(message).toMatchObject({ outcome: 'failed', error: { code: 'actor_mismatch' } });
    expect(errors).toHaveLength(1);
  });

  test('of another person to an installation is refused by the engine, even if they may install', async () => {
    session = { ...session, ref: 'org_acme/facebook/installation', credential_for: 'installation', actor: 'alice' };
    who = { tenantId: 'org_acme', userId: 'mallory', mayInstall: false };
    completing = () => double.refuse(409, 'actor_mismatch: the session was begun for another actor');
    expect((await comes()).message).toMatchObject({ outcome: 'failed', error: { code: 'actor_mismatch' } });
    expect(written.at(-1)).toEqual({ actor: 'mallory', connect_code: 'CODE-1' });
    expect(double.asked).not.toContain(`DELETE sessions/org_acme/${id}`);
  });

  test('of a person of another tenant shows nothing of the session', async () => {
    who = { tenantId: 'org_other', userId: 'bob' };
    const { status, message } = await comes();
    expect(status).toBe(404);
    expect(message).toMatchObject({ outcome: 'failed', provider: '', for: '', error: { code: 'not_found' } });
  });

  test('without a signed-in person sends the engine no request', async () => {
    who = null;
    const { status, message } = await comes();
    expect(status).toBe(401);
    expect(message).toMatchObject({ outcome: 'failed', error: { code: 'unauthenticated' } });
    expect(double.asked.filter((question) => question.includes('sessions'))).toEqual([]);
  });

  test('of a person who may not install any more cancels the session', async () => {
    session = { ...session, ref: 'org_acme/facebook/installation', credential_for: 'installation' };
    const { message } = await comes();
    expect(message).toMatchObject({ outcome: 'failed', for: 'installation', error: { code: 'forbidden' } });
    expect(double.asked).toContain(`DELETE sessions/org_acme/${id}`);
    expect(written).toEqual([]);
  });

  test.each([
    ['was declined at the provider', { status: 'failed', error: 'access_denied', error_description: 'd' }, 'cancelled', 'access_denied', 200],
    ['was cancelled', { status: 'failed', error: 'cancelled', error_description: 'd' }, 'cancelled', 'cancelled', 200],
    ['has failed', { status: 'failed', error: 'account_mismatch', error_description: 'd' }, 'failed', 'account_mismatch', 409],
    ['has expired', { status: 'expired' }, 'failed', 'session_expired', 409],
    ['is not finished', { status: 'redeeming' }, 'failed', 'pending', 409],
    ['is somebody else\'s', { status: 'completed', actor: 'alice' }, 'failed', 'actor_mismatch', 409],
  ])('without a code has the engine\'s outcome, not the URL\'s: the session %s', async (_, state, outcome, code, status) => {
    session = { ...session, ...state };
    const came = await comes('error=access_denied');
    expect(came.message).toMatchObject({ outcome, error: { code } });
    expect(came.status).toBe(status);
    expect(written).toEqual([]);
  });

  test('to a session that the callback has completed finds the connection', async () => {
    session = { ...session, status: 'completed' };
    double.put(bobs, { token: canary, more: connection });
    await client.getCredential({ tenantId: 'org_acme', userId: 'bob', credentialFor: 'user' });
    expect((await comes('')).message).toMatchObject({ outcome: 'connected', connection: { status: 'active' } });
    // and the cached credential is dropped
    await client.getCredential({ tenantId: 'org_acme', userId: 'bob', credentialFor: 'user' });
    expect(double.count(`GET creds/${bobs}`)).toBe(2);
  });

  test.each([
    ['unavailable', 502, 502], ['misconfigured', 424, 424], ['throttled', 429, 429], ['session_expired', 409, 409],
  ])('that the engine refuses as %s has a text for people', async (code, from, status) => {
    completing = () => double.refuse(from, `${code}: connect/${bobs} does not work`);
    const came = await comes();
    expect(came.message).toMatchObject({ outcome: 'failed', error: { code } });
    expect(came.status).toBe(status);
    expect(came.html).not.toContain(bobs);
  });

  test('that a quota of Vault refuses does not show as the provider\'s limit', async () => {
    completing = () => Response.json({ errors: ['request path "authpipe/sessions": rate limit quota exceeded'] }, { status: 429 });
    const came = await comes();
    expect(came.message).toMatchObject({ outcome: 'failed', error: { code: 'unavailable', message: 'It does not work at the moment. Try again later.' } });
    expect(came.status).toBe(502);
    expect(written).toHaveLength(1);
  });

  test('shows a page that runs only its own script, and sends no referrer', async () => {
    const { headers, html } = await comes();
    const policy = headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    for (const [kind, pattern] of [['script-src', /<script>(.*?)<\/script>/s], ['style-src', /<style>(.*?)<\/style>/s]] as const) {
      const hash = createHash('sha256').update(pattern.exec(html)![1]!).digest('base64');
      expect(policy).toContain(`${kind} 'sha256-${hash}'`);
    }
    expect(policy).not.toContain('unsafe');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('with an invalid session id does not show it', async () => {
    const page = await handler()(get('/authpipe/return?session_id=</script><script>alert(1)</script>&connect_code=x'));
    expect(page.status).toBe(400);
    const html = await page.text();
    expect(html).not.toContain('alert');
    expect(html).toContain('<p>field &#34;sessionId&#34; is not'); // as text
  });

  test.each(['</script><script>alert(1)//\u2028', '</script ', '<!--<script ', ']]>&lt;'])('does not end the page\'s data early: %s', async (ends) => {
    completing = () => double.reply({ ...connection, provider_user_id: ends });
    const page = await handler()(get(`/authpipe/return?session_id=${id}&connect_code=c`));
    const html = await page.text();
    expect(/id="authpipe">(.*)<\/script>\n<script>/s.exec(html)![1]).not.toMatch(/[<>&\u2028]/);
    expect(data(html).message.connection!.providerUserId).toBe(ends);
  });
});

describe('a request about a connection', () => {
  test('answers a connection without a token, and null for none', async () => {
    double.put(bobs, { token: canary, more: connection });
    const response = await handler()(get('/authpipe/status?provider=facebook&for=user'));
    const text = await response.text();
    expect(text).not.toContain(canary);
    expect(JSON.parse(text)).toMatchObject({ connection: { for: 'user', status: 'active', needsReauth: false } });
    expect(await (await handler()(get('/authpipe/status?provider=facebook&for=installation'))).json()).toEqual({ connection: null });
    expect((await handler()(get('/authpipe/status?for=page'))).status).toBe(400);
  });

  test.each([
    ['none', undefined, false],
    ['one that stands', {}, false],
    ['one that is being removed', { removal: { attempts: 0, removed: 0, unrevoked_count: 0 } }, true],
  ])('reports connections under an installation that is being removed as gone: %s', async (_, installation, gone) => {
    double.put(bobs, { token: canary, more: { ...connection, ...installation } }); // the engine reports it on both
    if (installation) double.put('org_acme/facebook/installation', { token: canary, more: { credential_for: 'installation', ...installation } });
    const ask = async (whose: string) => ((await (await handler()(get(`/authpipe/status?provider=facebook&for=${whose}`))).json()) as { connection: unknown }).connection;
    expect([(await ask('user')) === null, (await ask('installation')) === null]).toEqual([gone, gone || !installation]);
  });

  test('answers a session only to the person who began it', async () => {
    const ask = async () => handler()(get(`/authpipe/session?session_id=${id}`));
    expect(await (await ask()).json()).toEqual({ status: 'authorized' });
    session = { ...session, status: 'failed', error: 'account_mismatch', error_description: 'org_acme/…' };
    expect(await (await ask()).json()).toEqual({ status: 'failed', error: { code: 'account_mismatch', message: expect.stringContaining('Another account') } });
    who = { tenantId: 'org_acme', userId: 'mallory' };
    expect((await ask()).status).toBe(404);
    who = { tenantId: 'org_other', userId: 'bob' };
    expect((await ask()).status).toBe(404);
  });

  test('disconnects with the right to, from a page of the application, and may be repeated', async () => {
    expect((await handler()(post('/authpipe/disconnect', forUser))).status).toBe(204);
    expect(double.asked).toContain(`DELETE creds/${bobs}`);
    expect((await handler()(post('/authpipe/disconnect', { for: 'installation' }))).status).toBe(403);
    expect((await handler()(post('/authpipe/disconnect', forUser, { 'Sec-Fetch-Site': 'cross-site' }))).status).toBe(403);
    double.meanwhile(() => double.refuse(404, 'not_found: there is none'));
    expect((await handler()(post('/authpipe/disconnect', forUser))).status).toBe(204);
    double.meanwhile(() => double.refuse(502, 'unavailable: Facebook is down'));
    expect(await (await handler()(post('/authpipe/disconnect', forUser))).json()).toMatchObject({ error: { code: 'unavailable' } });
  });

  test.each(['/authpipe/start', '/authpipe/disconnect', '/authpipe/status?for=user', `/authpipe/session?session_id=${id}`])('without a signed-in person is refused at %s', async (path) => {
    who = undefined;
    const response = await handler()(path.includes('?') ? get(path) : post(path, forUser));
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ error: { code: 'unauthenticated' } });
  });

  test.each([
    ['/authpipe', 404], ['/authpipe/', 404], ['/authpipe/x', 404], ['/authpipex/start', 404], ['/other', 404], ['/authpipe/constructor', 404],
    ['/authpipe/start', 405], ['/authpipe/webhook/facebook', 404],
  ])('GET %s is %i', async (path, status) => {
    const response = await handler()(get(path));
    expect(response.status).toBe(status);
    if (status === 405) expect(response.headers.get('allow')).toBe('POST');
  });

  test('an error of the application\'s own functions reaches onError, and not the browser', async () => {
    const response = await handler({ authenticate: () => { throw new Error(canary); } })(get('/authpipe/status?for=user'));
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain(canary);
    expect(errors).toHaveLength(1);
  });

  test.each([
    ['without an id', { tenantId: 'org_acme', mayInstall: true }], ['with an empty id', { tenantId: 'org_acme', userId: '', mayInstall: true }],
    ['with an id that is no text', { tenantId: 'org_acme', userId: 7, mayInstall: true }], ['without a tenant', { userId: 'bob', mayInstall: true }],
  ])('a person %s is not signed in', async (_, somebody) => {
    who = somebody as unknown as typeof who;
    for (const request of [post('/authpipe/start', { for: 'installation' }), get('/authpipe/status?for=installation'), get(`/authpipe/session?session_id=${id}`)]) {
      expect((await handler()(request)).status).toBe(401);
    }
    expect(double.asked).toEqual([]);
  });

  test('the engine\'s complaint about the application\'s setup does not reach the browser', async () => {
    double.meanwhile(() => double.refuse(400, 'invalid_request: field "return_url" must be one of the configuration\'s return_urls'));
    const response = await handler()(post('/authpipe/start', forUser));
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: { code: 'invalid_request', message: expect.not.stringContaining('return_url') } });
    expect(errors).toHaveLength(1);
  });

  test('an onError that throws does not change the response', async () => {
    const response = await handler({ authenticate: () => { throw new Error('oh'); }, onError: () => { throw new Error('oh again'); } })(get('/authpipe/status?for=user'));
    expect(response.status).toBe(500);
  });

  test.each(['HEAD', 'OPTIONS', 'PUT', 'DELETE'])('%s is refused at every endpoint', async (method) => {
    for (const path of ['start', 'return', 'status', 'session', 'disconnect', 'webhook/facebook']) {
      expect((await handler({ webhook: {} })(new Request(`${own}/authpipe/${path}`, { method }))).status).toBe(405);
    }
  });

  test('the origin defaults to the request\'s, and the base path is configurable', async () => {
    const serve = client.handler({ authenticate: () => who, basePath: 'connect/' });
    const request = new Request('http://127.0.0.1:3000/connect/start', { method: 'POST', body: JSON.stringify(forUser), headers: { 'Content-Type': 'application/json', Origin: 'http://127.0.0.1:3000' } });
    expect((await serve(request)).status).toBe(200);
    expect(written[0]).toMatchObject({ return_url: 'http://127.0.0.1:3000/connect/return' });
  });
});
