import { type Authpipe, AuthpipeError } from '@authpipe/node';
import { expect, it, test, vi } from 'vitest';
import { createApp } from '../server/app.js';

const origin = 'http://localhost:1';
const engines = 'reading creds/org_acme/facebook/installation: revoked: taken back; write connect/org_acme/facebook/installation';
const refusing = async () => {
  throw new AuthpipeError({ op: 'reading creds/org_acme/facebook/installation', code: 'revoked', message: engines });
};
const authpipe = { handler: () => async () => new Response(), graph: () => refusing } as unknown as Authpipe;
const app = createApp({ authpipe, tenantId: 'org_acme', origin, graph: 'http://localhost:2/v27.0', web: '/nowhere', control: '', webhookVerifyToken: 'x' });

async function ask(path: string, { body, cookie = '', site = 'same-origin' }: { body?: unknown; cookie?: string; site?: string } = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const headers = { Cookie: cookie, 'Sec-Fetch-Site': site, 'Content-Length': String(text?.length ?? 0) };
  return app(new Request(origin + path, { headers, ...(text !== undefined && { method: 'POST', body: text }) }));
}

async function signIn(person = 'alice', cookie = '') {
  const response = await ask('/api/sign-in', { body: { person }, cookie });
  return response.headers.get('Set-Cookie')?.split(';')[0] ?? '';
}

const signedIn = async (cookie: string) => ((await (await ask('/api/me', { cookie })).json()) as { person: { id: string } | null }).person?.id;

it('identifies a person by a cookie that ends with signing out, in every browser that has it', async () => {
  const cookie = await signIn();
  expect(await signedIn(cookie)).toBe('alice');
  expect(await signedIn(await signIn())).toBe('alice');
  await ask('/api/sign-out', { body: {}, cookie });
  expect(await signedIn(cookie)).toBeUndefined();
});

it('issues a new cookie at each sign-in, and ends the former', async () => {
  const first = await signIn('bob');
  const second = await signIn('alice', first);
  expect([await signedIn(first), await signedIn(second)]).toEqual([undefined, 'alice']);
});

test.each(['example_session=', 'example_session=alice', 'example_session=__proto__', 'other=x'])('identifies no person by %s', async (cookie) => {
  expect(await signedIn(cookie)).toBeUndefined();
});

test.each([
  ['from another site', '{}', 'cross-site', 403],
  ['from a sibling', '{}', 'same-site', 403],
  ['with no JSON', 'person=alice', 'same-origin', 400],
  ['with nothing in it', 'null', 'same-origin', 400],
  ['with more than anybody needs', `"${'x'.repeat(70_000)}"`, 'same-origin', 413],
])('refuses a change, %s', async (_, body, site, status) => {
  const response = await ask('/api/sign-in', { body, site });
  expect([response.status, response.headers.get('Set-Cookie')]).toEqual([status, null]);
});

it('answers a refusal with advice for people, and nothing about Vault', async () => {
  const log = vi.spyOn(console, 'error').mockImplementation(() => {});
  const response = await ask('/api/pages', { cookie: await signIn() });
  expect(log.mock.calls.join()).toContain(engines); // the log is for the operator
  expect([response.status, await response.json()]).toEqual([409, { error: 'Acme’s Facebook account has to be connected again.' }]);
});

it('marks responses as not cacheable', async () => {
  expect((await ask('/api/me')).headers.get('Cache-Control')).toBe('no-store');
});
