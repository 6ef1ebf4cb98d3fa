import { Readable } from 'node:stream';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { Authpipe } from '../../src/index.js';
import { clientOf, Double } from '../double.js';
import { listening, serving } from '../listening.js';

const bobs = 'org_acme/facebook/users/bob';
const bob = { tenantId: 'org_acme', userId: 'bob', credentialFor: 'user' } as const;

let double: Double;
let client: Authpipe;
let sent: Request[];
let facebook: (request: Request) => Response | Promise<Response>;

beforeEach(() => {
  double = new Double();
  double.put(bobs, { token: 'one' });
  client = clientOf(double);
  sent = [];
  facebook = () => Response.json({ id: '7' });
});

afterEach(() => client.close());

const refused = (code: number, message: string) => Response.json({ error: { message, code } }, { status: 400 });

function graph(origins?: string[]) {
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    sent.push(request.clone());
    return facebook(request);
  };
  return client.graph(bob, { fetch, origins });
}

describe('a call of the Graph API', () => {
  test('has the token in a header and the proof in the query, and the response shows neither', async () => {
    const response = await graph()('https://graph.facebook.com/v27.0/me?fields=id,name');
    expect(sent[0]!.headers.get('authorization')).toBe('Bearer one');
    expect(sent[0]!.url).toBe('https://graph.facebook.com/v27.0/me?fields=id,name&appsecret_proof=proof-of-one');
    expect(response.url).toBe('https://graph.facebook.com/v27.0/me?fields=id,name');
    expect(await response.json()).toEqual({ id: '7' });
  });

  test('keeps its method, body and headers', async () => {
    await graph()('https://graph.facebook.com/v27.0/7/feed', { method: 'POST', body: new URLSearchParams({ message: 'hello' }), headers: { 'X-Own': 'yes' } });
    expect(sent[0]!.method).toBe('POST');
    expect(await sent[0]!.text()).toBe('message=hello');
    expect(Object.fromEntries(sent[0]!.headers)).toMatchObject({ 'x-own': 'yes', 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' });
  });

  test('of a next page has the present token, and not the one in the URL', async () => {
    await graph()('https://graph.facebook.com/v27.0/me/feed?access_token=old&limit=25&appsecret_proof=old&after=a%2Cb');
    expect(sent[0]!.url).toBe('https://graph.facebook.com/v27.0/me/feed?limit=25&after=a%2Cb&appsecret_proof=proof-of-one');
  });

  test.each([
    'https://example.com/', 'http://graph.facebook.com/', 'https://graph.facebook.com.evil.test/', 'https://graph.facebook.com:8443/',
  ])('of another origin is sent unchanged: %s', async (url) => {
    await graph()(url, { headers: { Authorization: 'Basic own' } });
    expect(sent[0]!.headers.get('authorization')).toBe('Basic own');
    expect(sent[0]!.url).not.toContain('proof');
    expect(double.count('GET creds/')).toBe(0);
  });

  test('goes to a configured test double', async () => {
    await graph(['http://127.0.0.1:8080'])('http://127.0.0.1:8080/me');
    expect(sent[0]!.headers.get('authorization')).toBe('Bearer one');
    await graph(['http://127.0.0.1:8080'])('https://graph.facebook.com/me');
    expect(sent[1]!.headers.has('authorization')).toBe(false);
  });

  test('without a credential is not sent', async () => {
    double.put(bobs, { refusal: 'revoked: bob took it away' });
    await expect(graph()('https://graph.facebook.com/me')).rejects.toMatchObject({ code: 'revoked' });
    expect(sent).toEqual([]);
  });
});

describe('after Facebook says that the token is dead', () => {
  beforeEach(() => {
    facebook = (request) => (request.headers.get('authorization') === 'Bearer one' ? refused(190, 'Error validating access token') : Response.json({ id: '7' }));
    double.meanwhile((request) => { if (request.url.endsWith('/check')) double.put(bobs, { token: 'two' }); });
  });

  test('the engine checks it, and the call is sent once more with the engine\'s token', async () => {
    const response = await graph()('https://graph.facebook.com/v27.0/7/feed', { method: 'POST', body: new URLSearchParams({ message: 'hello' }) });
    expect(await response.json()).toEqual({ id: '7' });
    expect(await Promise.all(sent.map((request) => request.text()))).toEqual(['message=hello', 'message=hello']);
    expect(double.count('POST connections/')).toBe(1);
  });

  test.each([
    ['the Web\'s', () => new ReadableStream({ start: (c) => { c.enqueue(new TextEncoder().encode('x')); c.close(); } })],
    ['Node\'s', () => Readable.from([new TextEncoder().encode('x')])],
  ])('a streamed body cannot be sent again: Facebook\'s answer is returned, and the next call has the new token (%s)', async (_, streams) => {
    const stream = streams();
    const init = { method: 'POST', body: stream, duplex: 'half' } as unknown as RequestInit;
    expect((await graph()('https://graph.facebook.com/v27.0/7/feed', init)).status).toBe(400);
    expect(await (await graph()('https://graph.facebook.com/me')).json()).toEqual({ id: '7' });
    expect(sent.length).toBe(2);
  });

  test('Facebook\'s answer is returned if the engine finds the token alive', async () => {
    double.meanwhile();
    const response = await graph()('https://graph.facebook.com/me');
    expect(await response.json()).toMatchObject({ error: { code: 190 } });
    // It was read again after the check, and is the same token: one more call, then none for a minute.
    expect(sent.length).toBeLessThanOrEqual(2);
    const before = sent.length;
    await graph()('https://graph.facebook.com/me');
    expect(sent.length).toBe(before + 1);
    expect(double.count('POST connections/')).toBe(1);
  });

  test('Facebook\'s answer is returned if the engine agrees, and the next call fails with the reason', async () => {
    double.meanwhile();
    double.put(bobs, { token: 'one', check: 'needs_reauth: the password was changed' });
    const response = await graph()('https://graph.facebook.com/me');
    expect(await response.json()).toMatchObject({ error: { code: 190 } });
    await expect(graph()('https://graph.facebook.com/me')).rejects.toMatchObject({ code: 'needs_reauth' });
  });
});

test.each([
  ['a wrong proof', () => refused(100, 'Invalid appsecret_proof provided in the API argument'), 1],
  ['a code as a string', () => Response.json({ error: { code: '190', message: 'dead' } }, { status: 401 }), 1],
  ['a token of the wrong kind', () => refused(190, 'This method must be called with a Page Access Token'), 0],
  ['a permission that is missing', () => refused(200, 'Requires pages_manage_posts'), 0],
  ['a throttle', () => refused(4, 'Application request limit reached'), 0],
  ['a page of a proxy\'s', () => new Response('<h1>190</h1>', { status: 502 }), 0],
  ['what is fine', () => Response.json({ error: { code: 190 } }), 0],
])('an answer leads to the right number of checks: %s', async (_, answers, checks) => {
  facebook = answers;
  const response = await graph()('https://graph.facebook.com/me');
  expect(double.count('POST connections/')).toBe(checks);
  expect(await response.text()).toBe(await answers().text()); // unread
});

test('a body of known length is sent with its length', async () => {
  const graphs = await serving((request, response) => {
    const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
    request.resume().on('end', () => response.end(JSON.stringify({ length, encoding })));
  });
  const call = client.graph(bob, { origins: [graphs.origin] });
  const form = new FormData();
  form.set('message', 'hello');
  expect(await (await call(`${graphs.origin}/feed`, { method: 'POST', body: new URLSearchParams({ message: 'hello' }) })).json()).toEqual({ length: '13' });
  expect(await (await call(`${graphs.origin}/feed`, { method: 'POST', body: form })).json()).toEqual({ length: expect.stringMatching(/^\d+$/) });
  expect(await (await call(new Request(`${graphs.origin}/feed`, { method: 'POST', body: 'hello' }))).json()).toEqual({ encoding: 'chunked' });
  await graphs.close();
});

test('a copied response shows no proof either', async () => {
  const graphs = await listening(() => ({ status: 200, headers: {} }));
  const response = await client.graph(bob, { origins: [graphs.origin] })(`${graphs.origin}/me`);
  expect(response.clone().url).toBe(`${graphs.origin}/me`);
  expect(response.clone().clone().url).toBe(`${graphs.origin}/me`);
  await graphs.close();
});

test('an endless refusal is not read to its end, and reaches the caller', async () => {
  let made = 0;
  facebook = () => new Response(new ReadableStream({ pull: (c) => { made++; c.enqueue(new Uint8Array(32 << 10).fill(0x20)); } }), { status: 400 });
  const response = await graph()('https://graph.facebook.com/me');
  expect(made).toBeLessThan(20);
  expect((await response.body!.getReader().read()).value).toHaveLength(32 << 10);
});

test('a caller that gives up during the check gets its own reason', async () => {
  facebook = () => refused(190, 'dead');
  const impatient = new AbortController();
  double.meanwhile((request) => { if (request.url.endsWith('/check')) impatient.abort(new Error('enough')); });
  await expect(graph()('https://graph.facebook.com/me', { signal: impatient.signal })).rejects.toThrow('enough');
});

test('no token follows a redirect', async () => {
  const elsewhere = await listening((request) => ({ status: 200, headers: { 'x-seen': `${request.headers.authorization} ${request.url}` } }));
  const graphs = await listening(() => ({ status: 302, headers: { location: `${elsewhere.origin}/there` } }));
  const response = await client.graph(bob, { origins: [graphs.origin] })(`${graphs.origin}/me`);
  expect(response.headers.get('x-seen')).toBe('undefined /there');
  await Promise.all([elsewhere.close(), graphs.close()]);
});
