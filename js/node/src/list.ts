import { present, type ListedConnection } from './connection.js';
import { instant } from './credential.js';
import { AuthpipeError, needsReauth } from './error.js';
import { checked } from './ref.js';
import type { VaultResponse } from './transport.js';

/** Which connections to list. */
export interface ListRequest {
  /** The tenant. */
  tenantId: string;
  /** Only this provider's. The default is all. */
  provider?: string | undefined;
}

/** The answer of a list. */
export interface Page {
  keys?: string[];
  key_info?: Record<string, KeyInfo>;
}

interface KeyInfo {
  status: ListedConnection['status'];
  expires_at?: string;
  connected_at?: string;
  missing_scopes?: string[] | null;
}

/** Reads a page of one level of connections/. */
export type ReadLevel = (path: string, query: Record<string, string>, signal: AbortSignal | undefined) => Promise<VaultResponse<Page>>;

const pageSize = 1000;

/** The text of a 404 of Vault's own, without an error: the list is empty. */
const emptyList = 'Vault answered 404';

/** list yields a tenant's connections, a thousand at a time. Pages are not among them: they are reached through the others. */
export async function* list(read: ReadLevel, request: ListRequest, signal?: AbortSignal): AsyncGenerator<ListedConnection, void, undefined> {
  const tenant = checked('tenantId', request.tenantId, 64, '._-');
  const providers = request.provider === undefined ? keys(read, tenant, signal) : [[checked('provider', request.provider, 32, '_-')]];
  for await (const [provider = ''] of providers) {
    yield* within(read, { tenantId: tenant, provider: provider.replace(/\/$/, '') }, signal);
  }
}

type Whose = { tenantId: string; provider: string };

async function* within(read: ReadLevel, whose: Whose, signal: AbortSignal | undefined): AsyncGenerator<ListedConnection, void, undefined> {
  const above = `${whose.tenantId}/${whose.provider}`;
  for await (const [key, info] of keys(read, above, signal)) {
    if (key === 'users/' || key === 'static/') {
      const kind = key.slice(0, -1) as 'users' | 'static';
      for await (const [name, about] of keys(read, `${above}/${kind}`, signal)) {
        // Below a user are pages.
        if (!name.endsWith('/')) {
          yield listed(whose, `${above}/${kind}/${name}`, kind === 'users' ? { userId: name } : { name }, about);
        }
      }
    } else if (key === 'installation') {
      yield listed(whose, `${above}/installation`, {}, info);
    }
  }
}

function listed(whose: Whose, ref: string, one: { userId?: string; name?: string }, info: KeyInfo | undefined): ListedConnection {
  const status = info?.status ?? 'unreadable';
  return present({
    ref,
    tenantId: whose.tenantId,
    provider: whose.provider,
    credentialFor: one.userId !== undefined ? 'user' : one.name !== undefined ? 'static' : 'installation',
    userId: one.userId,
    name: one.name,
    status,
    needsReauth: needsReauth(status),
    missingScopes: info?.missing_scopes ?? [],
    expiresAt: instant(info?.expires_at),
    connectedAt: instant(info?.connected_at),
  });
}

/** keys yields the keys of one level. */
async function* keys(read: ReadLevel, path: string, signal: AbortSignal | undefined): AsyncGenerator<[string, (KeyInfo | undefined)?], void, undefined> {
  for (let after = ''; ; ) {
    const query = { list: 'true', limit: String(pageSize), ...(after === '' ? {} : { after }) };
    let page: Page;
    try {
      page = (await read(`connections/${path}`, query, signal)).data;
    } catch (error) {
      if (error instanceof AuthpipeError && error.status === 404 && error.detail === emptyList) {
        return;
      }
      throw error;
    }
    for (const key of page.keys ?? []) {
      yield [key, page.key_info?.[key]];
    }
    const last = page.keys?.at(-1);
    if (last === undefined || (page.keys?.length ?? 0) < pageSize) {
      return;
    }
    after = last;
  }
}
