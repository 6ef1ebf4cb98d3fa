import { afterEach, beforeEach, expect, test } from 'vitest';

import type { Authpipe, WebhookOptions } from '../../src/index.js';
import { clientOf, Double } from '../double.js';

const path = 'https://app.example.com/authpipe/webhook/facebook';
const signature = `sha256=${'a'.repeat(64)}`;
let double: Double;
let client: Authpipe;
let notified: Record<string, unknown>[];
let answers: () => Response;

beforeEach(() => {
  double = new Double();
  client = clientOf(double);
  notified = [];
  answers = () => double.reply({ marked: 1 });
  double.meanwhile(async (request) => {
    if (!request.url.endsWith('/notify')) return undefined;
    notified.push((await request.clone().json()) as Record<string, unknown>);
    return answers();
  });
});

afterEach(() => client.close());

const serve = (webhook: WebhookOptions = { verifyToken: 'known' }) => client.handler({ authenticate: () => { throw new Error('nobody is asked'); }, webhook });
const delivers = (body: BodyInit = '{"object":"permissions"}', headers: Record<string, string> = { 'X-Hub-Signature-256': signature }) =>
  new Request(path, { method: 'POST', body, headers });
type BodyInit = NonNullable<RequestInit['body']>;

test('a subscription is confirmed with the verify token', async () => {
  const ask = (query: string, webhook?: WebhookOptions) => serve(webhook)(new Request(`${path}?${query}`));
  const good = await ask('hub.mode=subscribe&hub.verify_token=known&hub.challenge=%3Cb%3E42');
  expect(good.status).toBe(200);
  expect(await good.text()).toBe('<b>42');
  expect(good.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  expect(good.headers.get('x-content-type-options')).toBe('nosniff');
  for (const query of ['hub.mode=subscribe&hub.verify_token=other&hub.challenge=42', 'hub.mode=x&hub.verify_token=known', '']) {
    expect((await ask(query)).status).toBe(403);
  }
  expect((await ask('hub.mode=subscribe&hub.verify_token=&hub.challenge=42', {})).status).toBe(403);
});

test('a delivery is relayed byte for byte, and then passed to the application', async () => {
  const bytes = new Uint8Array([0x7b, 0xff, 0x00, 0x7d]);
  const verified: Uint8Array[] = [];
  const response = await serve({ onVerified: (body) => { verified.push(body); } })(delivers(bytes));
  expect(response.status).toBe(200);
  expect(notified).toEqual([{ payload: Buffer.from(bytes).toString('base64'), signature }]);
  expect(double.asked.at(-1)).toBe('POST webhooks/facebook/notify');
  expect([...verified[0]!]).toEqual([...bytes]);
});

test.each([
  ['has no signature', {}, 'x', 400], ['has another kind of signature', { 'X-Hub-Signature-256': 'sha1=00' }, 'x', 400],
  ['is too long', { 'X-Hub-Signature-256': signature }, 'x'.repeat((256 << 10) + 1), 413],
])('a delivery that %s does not reach Vault', async (_, headers, body, status) => {
  expect((await serve()(delivers(body, headers as Record<string, string>))).status).toBe(status);
  expect(notified).toEqual([]);
});

test.each([
  ['is forged', () => double.refuse(400, 'invalid_request: not sent by the provider'), 400],
  ['cannot be handed on', () => double.refuse(403, 'permission denied'), 503],
  ['the engine cannot take', () => double.refuse(502, 'unavailable: later'), 503],
])('a delivery that %s is not 200, so that it is sent again, and does not reach the application', async (_, refuses, status) => {
  answers = refuses;
  let verified = 0;
  expect((await serve({ onVerified: () => { verified++; } })(delivers())).status).toBe(status);
  expect(verified).toBe(0);
});

test.each([[undefined, 256 << 10], [100, 100], [1 << 30, 768 << 10], [0, 256 << 10]])('with maxBytes %s a delivery of up to %i bytes reaches Vault', async (maxBytes, fits) => {
  expect((await serve({ maxBytes })(delivers('x'.repeat(fits)))).status).toBe(200);
  expect((await serve({ maxBytes })(delivers('x'.repeat(fits + 1)))).status).toBe(413);
  expect(notified).toHaveLength(1);
});

test.each([[undefined, 16], [3, 3]])('with parallel %s at most %i deliveries are relayed at a time', async (parallel, most) => {
  let release = () => undefined as void;
  const released = new Promise<void>((resolve) => { release = resolve; });
  let relayed = 0;
  const relay = { notify: async () => { relayed++; await released; return 1; } };
  const handle = serve({ relay, parallel });
  const first = Array.from({ length: 50 }, () => handle(delivers()));
  const refused = Promise.all(first.map(async (answer) => (await Promise.race([answer, new Promise<undefined>((resolve) => { setTimeout(() => resolve(undefined), 100); })]))?.status));
  expect((await refused).filter((status) => status === 503)).toHaveLength(50 - most);
  release();
  expect((await Promise.all(first)).filter(({ status }) => status === 200)).toHaveLength(most);
  expect(relayed).toBe(most);
  expect((await handle(delivers())).status).toBe(200);
});

test('a delivery that onVerified refuses is sent again', async () => {
  expect((await serve({ onVerified: () => Promise.reject(new Error('full')) })(delivers())).status).toBe(500);
});

test('a separate client may relay', async () => {
  const received: string[] = [];
  const relay = { notify: (provider: string) => { received.push(provider); return Promise.resolve(1); } };
  expect((await serve({ relay })(delivers())).status).toBe(200);
  expect(received).toEqual(['facebook']);
  expect(notified).toEqual([]);
});
