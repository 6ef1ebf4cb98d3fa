import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';

import { afterEach, expect, test } from 'vitest';

import { toNodeHandler } from '../../src/index.js';
import { serving, type Listening } from '../listening.js';

const opened: Listening[] = [];
afterEach(() => Promise.all(opened.splice(0).map((server) => server.close())));

async function open(handler: (request: Request) => Promise<Response>, before: (request: IncomingMessage) => Promise<void> = () => Promise.resolve()) {
  const serve = toNodeHandler(handler);
  const server = await serving((request, response) => void before(request).then(() => serve(request, response)));
  opened.push(server);
  return server;
}

const echo = async (request: Request) => Response.json({ method: request.method, url: request.url, headers: Object.fromEntries(request.headers), body: await request.text() });

test('requests and responses pass unchanged', async () => {
  const { origin } = await open(echo);
  const response = await fetch(`${origin}/a/b?c=d%20e`, { method: 'POST', body: 'hello', headers: { 'X-Own': 'yes' } });
  expect(await response.json()).toMatchObject({ method: 'POST', url: `${origin}/a/b?c=d%20e`, body: 'hello', headers: { 'x-own': 'yes' } });
  expect((await (await fetch(`${origin}//evil.test/x`)).json() as { url: string }).url).toBe(`${origin}/evil.test/x`);
});

/** raw sends a request that no fetch sends, and returns the response. */
function raw(origin: string, head: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(origin).port), '127.0.0.1', () => socket.write(`${head}\r\nConnection: close\r\n\r\n`));
    let said = '';
    socket.on('data', (chunk) => { said += String(chunk); }).on('close', () => resolve(said)).on('error', reject);
  });
}

test('a path is never taken for a host', async () => {
  const { origin } = await open(echo);
  for (const path of ['/\\evil.test/x', '//evil.test/x', 'http://evil.test/x']) {
    expect(await raw(origin, `GET ${path} HTTP/1.1\r\nHost: app.test`)).toContain('"url":"http://app.test/');
  }
});

test.each(['GET / HTTP/1.1\r\nHost: a b', 'GET / HTTP/1.1\r\nHost: me:secret@app.test', 'GET / HTTP/1.1\r\nHost: app.test/other?', 'TRACE / HTTP/1.1\r\nHost: app.test'])(
  'what is no request is the sender\'s fault: %j', async (head) => {
    const { origin } = await open(echo);
    expect(await raw(origin, head)).toMatch(/^HTTP\/1.1 400 /);
  });

test('HTTP/2: the host comes from :authority, and pseudo-headers are left out', async () => {
  const { origin } = await open(echo, async (request) => {
    request.headers = { ':authority': 'app.test', ':path': '/x', accept: '*/*' } as typeof request.headers;
  });
  expect(await (await fetch(`${origin}/x`)).json()).toMatchObject({ url: 'http://app.test/x', headers: { accept: '*/*' } });
});

test('several cookies stay separate headers', async () => {
  const { origin } = await open(async () => {
    const headers = new Headers({ 'X-Own': 'yes' });
    headers.append('Set-Cookie', 'a=1; Path=/');
    headers.append('Set-Cookie', 'b=2; Path=/');
    return new Response(null, { status: 204, headers });
  });
  const response = await fetch(origin);
  expect(response.status).toBe(204);
  expect(response.headers.getSetCookie()).toEqual(['a=1; Path=/', 'b=2; Path=/']);
});

test('below a router the full path is used', async () => {
  const { origin } = await open(echo, async (request) => {
    Object.assign(request, { originalUrl: request.url, url: '/start' });
  });
  expect(await (await fetch(`${origin}/authpipe/start`)).json()).toMatchObject({ url: `${origin}/authpipe/start` });
});

/** parses reads a body as earlier middleware may. */
const parses = (into: (raw: Buffer) => object) => async (request: IncomingMessage) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  Object.assign(request, into(Buffer.concat(chunks)));
};

test('a parsed body is used, and the raw one if it was kept', async () => {
  const send = async (into: (raw: Buffer) => object, headers: Record<string, string> = {}) => {
    const { origin } = await open(echo, parses(into));
    return fetch(origin, { method: 'POST', body: '{ "a": 1 }', headers });
  };
  const signed = { 'X-Hub-Signature-256': 'sha256=00' };
  expect(await (await send((raw) => ({ body: JSON.parse(raw.toString()) as unknown }))).json()).toMatchObject({ body: '{"a":1}' });
  expect(await (await send((raw) => ({ body: raw }), signed)).json()).toMatchObject({ body: '{ "a": 1 }' });
  expect(await (await send((raw) => ({ body: {}, rawBody: raw }), signed)).json()).toMatchObject({ body: '{ "a": 1 }' });
  expect((await send((raw) => ({ body: JSON.parse(raw.toString()) as unknown }), signed)).status).toBe(500);
});

test('an unread body is read', async () => {
  const { origin } = await open(echo, async (request) => { Object.assign(request, { body: {} }); }); // as express.json() does for another type
  expect(await (await fetch(origin, { method: 'POST', body: '{ "a": 1 }' })).json()).toMatchObject({ body: '{ "a": 1 }' });
});

test('an error goes to the next middleware, or ends as a 500', async () => {
  const { origin } = await open(() => Promise.reject(new Error('oh')));
  expect((await fetch(origin)).status).toBe(500);
  const failed: unknown[] = [];
  const serve = toNodeHandler(() => Promise.reject(new Error('oh')));
  const server = await serving((request, response) => serve(request, response, (error) => {
    failed.push(error);
    response.writeHead(503).end();
  }));
  opened.push(server);
  expect((await fetch(server.origin)).status).toBe(503);
  expect(failed).toHaveLength(1);
});
