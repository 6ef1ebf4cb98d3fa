import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { Authpipe, type VaultAuth } from '../../src/index.js';
import { client, install, stage, vault } from './world.js';

const acme = { tenantId: 'org_login', credentialFor: 'installation' } as const;
const root = client();
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
let approle: VaultAuth;

/** The README's policies, for the tenant of these tests. */
const page = readFileSync(new URL('../../../../docs/hardening.md', import.meta.url), 'utf8');
const policies = page.matchAll(/<!-- policy: (?:application|disconnect|events|relay) -->\n```hcl\n(.*?)```/gs);
const policy = [...policies].map(([, rules]) => rules!).join('').replaceAll('org_acme', 'org_login');

beforeAll(async () => {
  await install(root, 'org_login');
  await vault('PUT', 'sys/policies/acl/login', { policy });
  await vault('POST', 'sys/auth/approle', { type: 'approle' });
  await vault('POST', 'auth/approle/role/app', { token_policies: 'login', token_ttl: '1h' });
  const { role_id: roleId } = await vault<{ role_id: string }>('GET', 'auth/approle/role/app/role-id');
  const { secret_id: secretId } = await vault<{ secret_id: string }>('POST', 'auth/approle/role/app/secret-id', {});
  approle = { method: 'approle', roleId, secretId };
  await vault('POST', 'sys/auth/ci', { type: 'jwt' });
  await vault('POST', 'auth/ci/config', { jwt_validation_pubkeys: [keys.publicKey.export({ type: 'spki', format: 'pem' })] });
  await vault('POST', 'auth/ci/role/app', { role_type: 'jwt', user_claim: 'sub', bound_audiences: ['vault'], token_policies: 'login', token_ttl: '1h' });
});

afterAll(() => root.close());

function jwt(): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'ES256', typ: 'JWT' })}.${part({ sub: 'ci', aud: 'vault', iat: now, exp: now + 300 })}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key: keys.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

async function asking<T>(auth: VaultAuth, work: (authpipe: Authpipe) => Promise<T>): Promise<T> {
  const authpipe = client({ auth });
  try {
    return await work(authpipe);
  } finally {
    await authpipe.close();
  }
}

const reads = async (authpipe: Authpipe) => (await authpipe.getCredential(acme)).credential;

test('AppRole and a JWT log in', async () => {
  expect(await asking(approle, reads)).toMatch(/^EAA/);
  expect(await asking({ method: 'jwt', role: 'app', mount: 'ci', jwt }, reads)).toMatch(/^EAA/);
});

test('a client that Vault does not accept gets permission_denied', async () => {
  await expect(asking({ method: 'approle', roleId: 'nobody', secretId: 'nothing' }, reads)).rejects.toMatchObject({ code: 'permission_denied', op: 'logging in to Vault' });
  await expect(asking({ method: 'jwt', role: 'app', mount: 'ci', jwt: 'a.b.c' }, reads)).rejects.toMatchObject({ code: 'permission_denied' });
  await expect(asking({ method: 'token', token: 'nonsense' }, reads)).rejects.toMatchObject({ code: 'permission_denied', status: 403 });
});

test('a token that an operator revokes is replaced without an error', async () => {
  await asking(approle, async (authpipe) => {
    await reads(authpipe);
    const { keys: accessors } = await vault<{ keys: string[] }>('GET', 'auth/token/accessors?list=true');
    for (const accessor of accessors) {
      const { policies } = await vault<{ policies: string[] }>('POST', 'auth/token/lookup-accessor', { accessor });
      if (policies.includes('login')) await vault('POST', 'auth/token/revoke-accessor', { accessor });
    }
    authpipe.forget('org_login/facebook/installation');
    expect(await reads(authpipe)).toMatch(/^EAA/);
  });
});

test('the README\'s policies are enough, and give no access to another tenant', async () => {
  await asking(approle, async (authpipe) => {
    const alive = await authpipe.getCredential(acme);
    await authpipe.reportDead(alive);
    expect((await authpipe.connection(acme)).checkedAt!.getTime()).toBeGreaterThanOrEqual((await authpipe.connection(acme)).connectedAt!.getTime());
    const started = await authpipe.connect({ ...acme, actor: 'alice' });
    await authpipe.cancel('org_login', started.sessionId);
    expect(await authpipe.session('org_login', started.sessionId)).toMatchObject({ status: 'failed', error: { code: 'cancelled' } });
    for await (const one of authpipe.connections({ tenantId: 'org_login' })) expect(one.status).toBe('active');
    for await (const event of authpipe.events()) {
      expect(event.id).toBeGreaterThan(0);
      break;
    }
    await expect(authpipe.notify('facebook', Buffer.from('{}'), `sha256=${'0'.repeat(64)}`)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(authpipe.disconnect({ ...acme, credentialFor: 'user', userId: 'nobody' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(authpipe.getCredential({ ...acme, tenantId: 'org_acme' })).rejects.toMatchObject({ code: 'permission_denied' });
  });
});

test('closing a client revokes its Vault token', async () => {
  const before = await vault<{ keys: string[] }>('GET', 'auth/token/accessors?list=true');
  await asking(approle, reads);
  const after = await vault<{ keys: string[] }>('GET', 'auth/token/accessors?list=true');
  expect(after.keys.filter((accessor) => !before.keys.includes(accessor))).toEqual([]);
});

test('an unreachable Vault is unavailable', async () => {
  const nowhere = new Authpipe({ vaultAddr: 'http://127.0.0.1:1', auth: { method: 'token', token: stage.rootToken } });
  await expect(nowhere.getCredential(acme)).rejects.toMatchObject({ code: 'unavailable', status: undefined });
  await nowhere.close();
});
