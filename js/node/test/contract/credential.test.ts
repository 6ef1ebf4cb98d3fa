import { afterAll, beforeAll, expect, test } from 'vitest';

import { NeedsReauthError, type ListedConnection } from '../../src/index.js';
import { breaks, client, connect, install, stage, vault } from './world.js';

const authpipe = client();
const graphVersion = 'v27.0';

beforeAll(async () => {
  await install(authpipe, 'org_acme');
  await connect(authpipe, { tenantId: 'org_acme', credentialFor: 'user', userId: 'user_123' }, { person: 'uma' });
});

afterAll(() => authpipe.close());

test('the samples work unchanged', async () => {
  const { credential: botToken } = await authpipe.getCredential({ provider: 'facebook', tenantId: 'org_acme', credentialFor: 'installation' });
  const { credential } = await authpipe.getCredential({ provider: 'facebook', tenantId: 'org_acme', userId: 'user_123', credentialFor: 'user' });
  expect(botToken).toMatch(/^EAA/);
  expect(credential).toMatch(/^EAA/);
  expect(credential).not.toBe(botToken);
});

test('a credential has all of the engine\'s fields', async () => {
  const got = await authpipe.getCredential({ tenantId: 'org_acme', userId: 'user_123', credentialFor: 'any' });
  expect(got).toMatchObject({
    ref: 'org_acme/facebook/users/user_123', source: 'connection', type: 'oauth_token', provider: 'facebook', tenantId: 'org_acme', userId: 'user_123',
    tokenType: 'bearer', scopes: ['email', 'public_profile'], missingScopes: [], status: 'active', needsReauth: false, refreshed: false, warnings: [],
    appSecretProof: expect.stringMatching(/^[0-9a-f]{64}$/), providerUserId: expect.stringMatching(/^\d+$/),
  });
  expect(got.expiresAt!.getTime()).toBeGreaterThan(Date.now() + 50 * 86_400_000);
  expect(await authpipe.getCredential({ tenantId: 'org_acme', userId: 'nobody', credentialFor: 'any' })).toMatchObject({ source: 'installation' });
});

test('a connection has no token, and lists have all connections', async () => {
  const connection = await authpipe.connection({ tenantId: 'org_acme', credentialFor: 'installation' });
  expect(connection).toMatchObject({ ref: 'org_acme/facebook/installation', credentialFor: 'installation', status: 'active', connectedBy: 'alice', missingScopes: [] });
  expect(connection.connectedAt).toBeInstanceOf(Date);
  const listed: ListedConnection[] = [];
  for await (const one of authpipe.connections({ tenantId: 'org_acme' })) listed.push(one);
  expect(listed).toMatchObject([
    { ref: 'org_acme/facebook/installation', credentialFor: 'installation', status: 'active', needsReauth: false },
    { ref: 'org_acme/facebook/users/user_123', credentialFor: 'user', userId: 'user_123', status: 'active' },
  ]);
  for await (const one of authpipe.connections({ tenantId: 'org_none' })) expect(one).toBeUndefined();
});

test('calls of the Graph API have token and proof, a page\'s too', async () => {
  const origins = [stage.facebook];
  const graph = authpipe.graph({ tenantId: 'org_acme', credentialFor: 'installation' }, { origins });
  const accounts = await graph(`${stage.facebook}/${graphVersion}/me/accounts?fields=id,name`);
  const { data } = (await accounts.json()) as { data: { id: string; name: string }[] };
  expect(data.map(({ name }) => name)).toContain("Ada's Bakery");
  const pageId = data[0]!.id;
  const page = authpipe.graph({ tenantId: 'org_acme', credentialFor: 'installation', pageId }, { origins });
  const posted = await page(`${stage.facebook}/${graphVersion}/${pageId}/feed`, { method: 'POST', body: new URLSearchParams({ message: 'hello' }) });
  expect(await posted.json()).toMatchObject({ id: expect.stringContaining(pageId) });
});

test('a call finds a token dead that the engine thinks alive, and connecting again repairs it', async () => {
  const tenantId = 'org_dies';
  const bob = { tenantId, credentialFor: 'user', userId: 'bob' } as const;
  await install(authpipe, tenantId);
  await connect(authpipe, bob, { person: 'uma' });
  const graph = authpipe.graph(bob, { origins: [stage.facebook] });
  expect((await graph(`${stage.facebook}/me`)).status).toBe(200);
  await breaks('password', { user: 'uma' });
  expect(await (await graph(`${stage.facebook}/me`)).json()).toMatchObject({ error: { code: 190 } });
  const needs: unknown = await authpipe.getCredential(bob).catch((error: unknown) => error);
  expect(needs).toBeInstanceOf(NeedsReauthError);
  expect(needs).toMatchObject({ code: 'needs_reauth', connectPath: 'connect/org_dies/facebook/users/bob', status: 409 });
  expect(await authpipe.connection(bob)).toMatchObject({ status: 'needs_reauth', needsReauth: true });
  await connect(authpipe, bob, { person: 'uma' });
  expect((await graph(`${stage.facebook}/me`)).status).toBe(200);
});

test('a user id may have every character that the engine accepts', async () => {
  const userId = 'auth0|bob.smith+x@example.com:1=2~_-';
  await connect(authpipe, { tenantId: 'org_acme', credentialFor: 'user', userId });
  expect(await authpipe.getCredential({ tenantId: 'org_acme', userId, credentialFor: 'user' })).toMatchObject({ userId });
  expect(await authpipe.connection({ tenantId: 'org_acme', userId, credentialFor: 'user' })).toMatchObject({ userId });
  await authpipe.disconnect({ tenantId: 'org_acme', userId, credentialFor: 'user' });
  await expect(authpipe.getCredential({ tenantId: 'org_acme', userId, credentialFor: 'user' })).rejects.toMatchObject({ code: 'not_found' });
});

test('a static credential is read like the others', async () => {
  await vault('POST', 'authpipe/creds/org_acme/stripe/static/key', { credential: 'sk_one', credential_type: 'api_key' });
  expect(await authpipe.getCredential({ tenantId: 'org_acme', provider: 'stripe', name: 'key', credentialFor: 'static' }))
    .toMatchObject({ credential: 'sk_one', source: 'static', type: 'api_key', name: 'key', ref: 'org_acme/stripe/static/key' });
});

test('a suspended tenant is refused, and has events', async () => {
  await install(authpipe, 'org_rests');
  await vault('POST', 'authpipe/tenants/org_rests', { suspended: true });
  await expect(authpipe.getCredential({ tenantId: 'org_rests', credentialFor: 'installation' })).rejects.toMatchObject({ code: 'suspended', status: 409 });
  const types: string[] = [];
  for await (const event of authpipe.events()) {
    if (event.ref.startsWith('org_rests')) types.push(event.type);
    if (event.type === 'tenant.suspended') break;
  }
  expect(types).toEqual(['connection.created', 'tenant.suspended']);
});

test('disconnecting an installation removes everything under it', async () => {
  const tenantId = 'org_leaves';
  await install(authpipe, tenantId);
  await connect(authpipe, { tenantId, credentialFor: 'user', userId: 'bob' });
  await authpipe.getCredential({ tenantId, credentialFor: 'user', userId: 'bob' });
  await authpipe.disconnect({ tenantId, credentialFor: 'installation' });
  for (const request of [{ tenantId, credentialFor: 'installation' }, { tenantId, credentialFor: 'user', userId: 'bob' }] as const) {
    await expect(authpipe.getCredential(request)).rejects.toMatchObject({ code: 'not_found' });
  }
});
