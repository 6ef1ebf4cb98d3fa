import { createServer, type AddressInfo } from 'node:net';
import { inspect } from 'node:util';

import { describe, expect, onTestFinished, test } from 'vitest';

import { Authpipe, AuthpipeError, type AuthpipeOptions } from '../../src/index.js';

const canary = 'EAAcanaryCANARYcanary';
const id = 'S'.repeat(43);
const bob = { tenantId: 'org_acme', userId: 'bob', credentialFor: 'user' } as const;

const whole = (status: number, body: string) => `HTTP/1.1 ${status} X\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
const secret = `{"auth":{"client_token":"${canary}"},"data":{"access_token":"${canary}"}}`;

/** Responses that a parser of HTTP or JSON cannot read, with a credential in the bytes that the platform's error quotes. */
const framings: [string, string][] = [
  ['a body without a head', `${secret}\r\n\r\n`],
  ['a status that is no number', `HTTP/1.1 ${canary} OK\r\n\r\n`],
  ['two lengths', `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: ${secret.length}\r\n\r\n${secret}`],
  ['an encoding beside a length', `HTTP/1.1 200 OK\r\nContent-Length: ${secret.length}\r\nTransfer-Encoding: chunked\r\n\r\n${secret}`],
  ['a header without a colon', `HTTP/1.1 200 OK\r\n${canary}\r\n\r\n${secret}`],
  ['a header that is a body', `HTTP/1.1 200 OK\r\n${secret}\r\n\r\n`],
  ['a chunk whose length is none', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${secret}\r\n`],
  ['a chunk that is too long', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n${secret}\r\n0\r\n\r\n`],
  ['a trailer that is none', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{ \r\n0\r\n${canary}\r\n\r\n`],
  ['a body that is cut off', `HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${secret}`],
  ['a body longer than its length', `HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n${secret}`],
  ['an encoding that is none', `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${secret.length}\r\n\r\n${secret}`],
  ['a redirect to no URL', `HTTP/1.1 307 X\r\nLocation: http://[${canary}\r\nContent-Length: 0\r\n\r\n`],
  ['an answer about another', whole(200, `{"data":{"tenant_id":"${canary}","access_token":"${canary}"}}`)],
  ['a time that is none', whole(200, `{"data":{"tenant_id":"org_acme","provider":"facebook","user_id":"bob","access_token":"x","expires_at":"${canary}","connected_at":"${canary}"}}`)],
  ['another shape', whole(200, `{"auth":"${canary}","data":"${canary}","warnings":"${canary}"}`)],
  ['a page of a proxy', whole(502, `<h1>${secret}</h1>`)],
];

/** A server that answers with raw bytes. */
interface Peer {
  origin: string;
  answer: string;
}

async function peer(answer: string): Promise<Peer> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(it.answer));
  });
  onTestFinished(() => { server.close(); });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const it = { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, answer };
  return it;
}

/** silent is an origin without a server. */
async function silent(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

function open(vaultAddr: string, options: AuthpipeOptions = {}): Authpipe {
  const client = new Authpipe({ vaultAddr, auth: { method: 'token', token: 'a-token' }, ...options });
  onTestFinished(() => client.close());
  return client;
}

const bobs = (more = '') => whole(200, `{"data":{"tenant_id":"org_acme","provider":"facebook","user_id":"bob","access_token":"one"${more}}}`);

/** shown returns everything that an error and its causes show when printed or serialized. */
function shown(error: unknown): string {
  let said = '';
  for (let one = error; one !== undefined; one = one instanceof Error ? one.cause : undefined) {
    said += [
      String(one), JSON.stringify(one), inspect(one), inspect(one, { depth: Infinity, showHidden: true, getters: true, customInspect: false }),
      one instanceof Error ? one.stack : '', JSON.stringify(Object.getOwnPropertyDescriptors(one)),
    ].join('\n');
  }
  return said;
}

const failed = async (ask: () => Promise<unknown>) => ask().then(() => undefined, (error: unknown) => error);

describe.concurrent.each(framings)('%s', (_, answer) => {
  test('shows in no error of any request to Vault', async () => {
    const troubles: unknown[] = [];
    const onTrouble = (trouble: unknown) => { troubles.push(trouble); };
    const vault = await peer(bobs());
    const client = open(vault.origin, { onTrouble, maxAge: 50 });
    const known = await client.getCredential(bob);
    await client.getCredential(bob);
    vault.answer = answer;
    const entering = open(vault.origin, { onTrouble, auth: { method: 'approle', roleId: 'r', secretId: 's' } });
    const calls: Record<string, () => Promise<unknown>> = {
      getCredential: () => client.getCredential({ ...bob, userId: 'ann' }),
      reportDead: () => client.reportDead(known),
      connect: () => client.connect(bob),
      complete: () => client.complete({ tenantId: 'org_acme', sessionId: id, connectCode: 'x', actor: 'bob' }),
      session: () => client.session('org_acme', id),
      cancel: () => client.cancel('org_acme', id),
      connection: () => client.connection(bob),
      connections: async () => { for await (const one of client.connections({ tenantId: 'org_acme', provider: 'facebook' })) void one; },
      disconnect: () => client.disconnect(bob),
      notify: () => client.notify('facebook', new Uint8Array(1), 'sha256=0'),
      events: async () => {
        const signal = AbortSignal.timeout(500);
        for await (const event of client.events({ signal, onTrouble })) void event;
      },
      'logging in': () => entering.getCredential(bob),
      close: () => entering.close(),
    };
    const errors = await Promise.all(Object.entries(calls).map(async ([call, ask]) => [call, await failed(ask)] as const));
    for (const [call, error] of errors) {
      expect(shown(error), call).not.toContain(canary);
    }
    expect(shown(troubles)).not.toContain(canary);
    expect(errors.filter(([, error]) => error instanceof AuthpipeError).length).toBeGreaterThan(0);
    expect(errors.filter(([, error]) => error !== undefined && !(error instanceof AuthpipeError))).toEqual([]);
  });

  test('shows in no error of a call of the Graph API', async () => {
    const client = open((await peer(bobs(',"appsecret_proof":"proof-of-one"'))).origin);
    const { origin } = await peer(answer);
    const graph = client.graph(bob, { origins: [origin] });
    const calls = [
      async () => (await graph(`${origin}/me/accounts`)).arrayBuffer(),
      async () => (await graph(`${origin}/me/accounts`)).clone().text(),
      async () => { for await (const chunk of (await graph(`${origin}/me/accounts`)).body!) void chunk; },
    ];
    for (const ask of calls) {
      const error = await failed(ask);
      expect(shown(error)).not.toContain(canary);
      expect(shown(error)).not.toContain('proof-of');
    }
  });
});

test('an error says why Vault cannot be reached', async () => {
  const refused = await failed(async () => open(await silent()).connection(bob));
  expect(refused).toMatchObject({ code: 'unavailable', detail: 'Vault cannot be reached: the connection was refused' });
  const unreadable = await failed(() => open('http://vault.test', { auth: { method: 'kubernetes', role: 'app', jwt: () => Promise.reject(Object.assign(new Error(canary), { code: 'ENOENT' })) } }).connection(bob));
  expect(unreadable).toMatchObject({ code: 'unavailable', detail: 'the function that returns the secret has failed: there is no such file' });
  expect(shown([refused, unreadable])).not.toContain(canary);
});

test('a call of the Graph API that fails has a code, and one that is aborted throws the reason', async () => {
  const client = open((await peer(bobs())).origin);
  const nowhere = await silent();
  const graph = client.graph(bob, { origins: [nowhere] });
  expect(await failed(() => graph(`${nowhere}/me`))).toMatchObject({ name: 'TypeError', cause: { code: 'ECONNREFUSED' } });
  await expect(graph(`${nowhere}/me`, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
});
