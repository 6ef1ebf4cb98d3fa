import { afterEach, beforeEach, expect, test } from 'vitest';

import type { Authpipe, ListedConnection } from '../../src/index.js';
import { clientOf, Double } from '../double.js';

let client: Authpipe;
let levels: Record<string, Record<string, Record<string, unknown> | undefined>>;
const pages: string[] = [];

beforeEach(() => {
  const double = new Double();
  client = clientOf(double);
  pages.length = 0;
  double.meanwhile((request) => {
    const url = new URL(request.url);
    const level = decodeURIComponent(url.pathname).replace('/v1/authpipe/connections/', '');
    if (!url.searchParams.has('list')) return undefined;
    const after = url.searchParams.get('after') ?? '';
    pages.push(`${level} after ${after}`);
    const keys = Object.keys(levels[level] ?? {}).sort().filter((key) => key > after).slice(0, Number(url.searchParams.get('limit')));
    if (keys.length === 0) return Response.json({ errors: [] }, { status: 404 });
    return double.reply({ keys, key_info: Object.fromEntries(keys.map((key) => [key, levels[level]![key]])) });
  });
});

afterEach(() => client.close());

async function all(request: Parameters<Authpipe['connections']>[0]): Promise<ListedConnection[]> {
  const found: ListedConnection[] = [];
  for await (const connection of client.connections(request)) found.push(connection);
  return found;
}

test('lists a tenant\'s connections, level by level and page by page', async () => {
  const people = Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [`u${i}`, { status: 'active', missing_scopes: [], connected_at: '2026-11-23T12:00:00Z' }]));
  levels = {
    org_acme: { 'facebook/': undefined, 'stripe/': undefined },
    'org_acme/facebook': { installation: { status: 'revoked', missing_scopes: ['email'], expires_at: '2026-12-23T12:00:00Z' }, 'users/': undefined, 'pages/': undefined },
    'org_acme/facebook/users': { ...people, 'u7/': undefined },
    'org_acme/stripe': { 'static/': undefined },
    'org_acme/stripe/static': { key: { status: 'active' } },
  };
  const found = await all({ tenantId: 'org_acme' });
  expect(found.length).toBe(2502);
  expect(found[0]).toEqual({
    ref: 'org_acme/facebook/installation', tenantId: 'org_acme', provider: 'facebook', credentialFor: 'installation', status: 'revoked', needsReauth: true,
    missingScopes: ['email'], expiresAt: new Date('2026-12-23T12:00:00Z'),
  });
  expect(found[1]).toMatchObject({ ref: 'org_acme/facebook/users/u0', userId: 'u0', credentialFor: 'user', connectedAt: new Date('2026-11-23T12:00:00Z') });
  expect(found.at(-1)).toMatchObject({ ref: 'org_acme/stripe/static/key', name: 'key', credentialFor: 'static' });
  expect(pages.filter((page) => page.startsWith('org_acme/facebook/users ')).length).toBe(3);
  expect(await all({ tenantId: 'org_acme', provider: 'stripe' })).toHaveLength(1);
});

test('lists nothing for a tenant without connections, and refuses a missing tenant', async () => {
  levels = {};
  expect(await all({ tenantId: 'org_none' })).toEqual([]);
  expect(() => client.connections({ tenantId: '../x' })).toThrow('tenantId');
});

test('throws for a mount that is gone and for a tenant that may not be read', async () => {
  for (const [status, error] of [[404, 'no handler for route "authpipe/"'], [403, 'permission denied']] as const) {
    const other = clientOf(new Double(), { fetch: async () => Response.json({ errors: [error] }, { status }) });
    await expect(other.connections({ tenantId: 'org_acme' }).next()).rejects.toMatchObject({ status });
    await other.close();
  }
});

test('throws for an error page that is not Vault\'s', async () => {
  const other = clientOf(new Double(), { fetch: async () => new Response('<h1>Not Found</h1>', { status: 404 }) });
  await expect(other.connections({ tenantId: 'org_acme' }).next()).rejects.toMatchObject({ code: 'unexpected', status: 404 });
  await other.close();
});
