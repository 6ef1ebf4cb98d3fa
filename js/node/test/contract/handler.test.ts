import { createHmac } from 'node:crypto';

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { toNodeHandler, type ReturnMessage, type SignedIn, type StartAnswer } from '../../src/index.js';
import { serving } from '../listening.js';
import { authorize, breaks, client, install, origin, stage, type Browser } from './world.js';

const authpipe = client();
let who: SignedIn | null;
const serve = authpipe.handler({ origin, authenticate: () => who, webhook: { verifyToken: 'known' } });
const alice: SignedIn = { tenantId: 'org_button', userId: 'alice', mayInstall: true };
const bob: SignedIn = { tenantId: 'org_button', userId: 'bob' };

beforeAll(async () => { await install(authpipe, 'org_button'); });
beforeEach(() => { who = bob; });
afterAll(() => authpipe.close());

const post = (path: string, body: unknown) => serve(new Request(`${origin}${path}`, {
  method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin' },
}));
const get = (path: string) => serve(new Request(`${origin}${path}`));

async function starts(whose: 'user' | 'installation', more: Record<string, unknown> = {}): Promise<StartAnswer> {
  const response = await post('/authpipe/start', { provider: 'facebook', for: whose, ...more });
  expect(response.status).toBe(200);
  return (await response.json()) as StartAnswer;
}

/** returns plays the browser that comes back from Facebook, through the engine's page, to the handler's. */
async function returns(started: StartAnswer, browser: Browser = {}): Promise<ReturnMessage> {
  const back = await authorize(started.authorizationUrl, { person: who?.mayInstall ? 'ada' : 'uma', ...browser });
  expect(back.origin + back.pathname).toBe(`${origin}/authpipe/return`);
  return message(await serve(new Request(back)));
}

async function message(page: Response): Promise<ReturnMessage> {
  const html = await page.text();
  expect(html).not.toMatch(/EAA[A-Za-z0-9]{100}/); // no session id has that by chance
  return (JSON.parse(/id="authpipe">(.*?)<\/script>/s.exec(html)![1]!) as { message: ReturnMessage }).message;
}

const session = async (id: string) => (await get(`/authpipe/session?session_id=${id}`)).json();
const status = async (whose: string) => (await get(`/authpipe/status?provider=facebook&for=${whose}`)).json() as Promise<{ connection: unknown }>;

test('a person connects and disconnects', async () => {
  expect(await status('user')).toEqual({ connection: null });
  const started = await starts('user');
  expect(await session(started.sessionId)).toEqual({ status: 'pending' });
  const message = await returns(started);
  expect(message).toMatchObject({
    source: 'authpipe', sessionId: started.sessionId, provider: 'facebook', for: 'user', outcome: 'connected',
    connection: { status: 'active', for: 'user', scopes: ['email', 'public_profile'], missingScopes: [], needsReauth: false },
  });
  expect(await session(started.sessionId)).toEqual({ status: 'completed' });
  expect(await status('user')).toEqual({ connection: message.connection });
  expect((await post('/authpipe/disconnect', { provider: 'facebook', for: 'user' })).status).toBe(204);
  expect(await status('user')).toEqual({ connection: null });
  expect((await post('/authpipe/disconnect', { provider: 'facebook', for: 'user' })).status).toBe(204);
});

test('an admin installs, and a person who is none is refused', async () => {
  who = alice;
  expect(await returns(await starts('installation'))).toMatchObject({ outcome: 'connected', for: 'installation', connection: { for: 'installation' } });
  who = bob;
  expect((await post('/authpipe/start', { provider: 'facebook', for: 'installation' })).status).toBe(403);
  expect((await post('/authpipe/disconnect', { provider: 'facebook', for: 'installation' })).status).toBe(403);
});

describe('a stranger', () => {
  test('that finishes another person\'s session is refused by the engine, and the code is destroyed', async () => {
    const started = await starts('user');
    const back = await authorize(started.authorizationUrl, { person: 'uma' });
    who = { tenantId: 'org_button', userId: 'mallory', mayInstall: true };
    expect(await message(await serve(new Request(back)))).toMatchObject({ outcome: 'failed', error: { code: 'actor_mismatch' } });
    // The engine has refused: the session says so, and cannot be completed by the person who began it either.
    expect(await authpipe.session('org_button', started.sessionId)).toMatchObject({ status: 'failed', actor: 'bob', error: { code: 'actor_mismatch' } });
    who = bob;
    expect(await message(await serve(new Request(back)))).toMatchObject({ outcome: 'failed' });
    expect(await session(started.sessionId)).toMatchObject({ status: 'failed', error: { code: 'actor_mismatch' } });
    expect(await status('user')).toEqual({ connection: null });
  });

  test('is refused by the engine without the handler, too', async () => {
    const started = await starts('user');
    const back = await authorize(started.authorizationUrl);
    const connectCode = back.searchParams.get('connect_code')!;
    await expect(authpipe.complete({ tenantId: 'org_button', sessionId: started.sessionId, actor: 'mallory', connectCode }))
      .rejects.toMatchObject({ code: 'actor_mismatch', status: 409 });
  });

  test('of another tenant learns nothing, and shows nothing of their session', async () => {
    const started = await starts('user');
    const back = await authorize(started.authorizationUrl);
    who = { tenantId: 'org_other', userId: 'bob' };
    expect(await message(await serve(new Request(back)))).toMatchObject({ outcome: 'failed', provider: '', error: { code: 'not_found' } });
    expect((await get(`/authpipe/session?session_id=${started.sessionId}`)).status).toBe(404);
    who = bob; // the session is still Bob's
    expect(await message(await serve(new Request(back)))).toMatchObject({ outcome: 'connected' });
    await post('/authpipe/disconnect', { provider: 'facebook', for: 'user' });
  });
});

test('a person who declines has cancelled, whatever the URL says', async () => {
  const started = await starts('user');
  expect(await returns(started, { cancels: true })).toMatchObject({ outcome: 'cancelled', error: { code: 'access_denied' } });
  expect(await session(started.sessionId)).toMatchObject({ status: 'failed', error: { code: 'access_denied' } });
  const other = await starts('user');
  const page = await get(`/authpipe/return?session_id=${other.sessionId}&error=access_denied`);
  expect(await message(page)).toMatchObject({ outcome: 'failed', error: { code: 'pending' } });
});

test('a person who grants in part is connected, with missing scopes', async () => {
  await breaks('remove', { app: stage.appId, user: 'uma' }); // the simulator keeps earlier grants

  const message = await returns(await starts('user', { reauthorize: true }), { declines: 'email' });
  expect(message).toMatchObject({ outcome: 'connected', connection: { scopes: ['public_profile'], missingScopes: ['email'] } });
  await post('/authpipe/disconnect', { provider: 'facebook', for: 'user' });
});

test('a reloaded return page shows the same', async () => {
  const started = await starts('user');
  const back = await authorize(started.authorizationUrl);
  const first = await message(await serve(new Request(back)));
  expect(await message(await serve(new Request(back)))).toEqual(first);
  expect(await message(await get(`/authpipe/return?session_id=${started.sessionId}`))).toMatchObject({ outcome: 'connected' });
  await post('/authpipe/disconnect', { provider: 'facebook', for: 'user' });
});

test('a return URL that another person replays connects nothing', async () => {
  const started = await starts('user');
  const back = await authorize(started.authorizationUrl, { person: 'uma' });
  const connected = await message(await serve(new Request(back)));
  expect(connected).toMatchObject({ outcome: 'connected' });
  for (const [tenantId, code] of [['org_button', 'actor_mismatch'], ['org_other', 'not_found']] as const) {
    who = { tenantId, userId: 'mallory', mayInstall: true };
    const forged = `${back.href}&actor=bob&userId=bob&tenantId=org_button`;
    expect(await message(await serve(new Request(forged)))).toMatchObject({ outcome: 'failed', error: { code } });
    expect(await status('user')).toEqual({ connection: null }); // Mallory's
  }
  who = bob;
  expect(await session(started.sessionId)).toEqual({ status: 'completed' });
  expect(await status('user')).toEqual({ connection: connected.connection });
  await post('/authpipe/disconnect', { provider: 'facebook', for: 'user' });
});

test('a user of a tenant without an installation gets installation_required', async () => {
  who = { tenantId: 'org_bare', userId: 'bob' };
  const response = await post('/authpipe/start', { provider: 'facebook', for: 'user' });
  expect(response.status).toBe(409);
  expect(await response.json()).toMatchObject({ error: { code: 'installation_required' } });
});

test('a signed delivery is applied through Node\'s own server, and an unsigned one is refused', async () => {
  const server = await serving(toNodeHandler(serve));
  const url = `${server.origin}/authpipe/webhook/facebook`;
  const body = JSON.stringify({ object: 'permissions', entry: [{ id: '1', time: Math.floor(Date.now() / 1000), changed_fields: ['email'] }] });
  const sign = (secret: string) => `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
  const deliver = (signature: string) => fetch(url, { method: 'POST', body, headers: { 'X-Hub-Signature-256': signature, 'Content-Type': 'application/json' } });
  expect((await deliver(sign(stage.appSecret))).status).toBe(200);
  expect((await deliver(sign('another secret'))).status).toBe(400);
  const challenge = await fetch(`${url}?hub.mode=subscribe&hub.verify_token=known&hub.challenge=42`);
  expect(await challenge.text()).toBe('42');
  await server.close();
});
