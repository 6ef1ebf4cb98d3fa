import type { Authpipe } from '@authpipe/node';

/** What the organization's pages are reached with. */
export interface Pages {
  authpipe: Authpipe;
  tenantId: string;
  /** The Graph API's base, with its version. */
  graph: string;
}

const installation = { provider: 'facebook', credentialFor: 'installation' } as const;

/** The pages that the installation reaches. */
export async function listPages({ authpipe, tenantId, graph }: Pages): Promise<{ id: string; name: string }[]> {
  const { data } = await ask<{ data: { id: string; name: string }[] }>(
    `${graph}/me/accounts?fields=id,name`,
    await authpipe.getCredential({ ...installation, tenantId }),
  );
  return data;
}

/** Publishes on a page, with that page's own token. */
export async function post({ authpipe, tenantId, graph }: Pages, pageId: string, message: string): Promise<{ id: string }> {
  const credential = await authpipe.getCredential({ ...installation, tenantId, pageId });
  return ask(`${graph}/${encodeURIComponent(pageId)}/feed`, credential, new URLSearchParams({ message }));
}

/** Asks the Graph API. The token goes in a header, which is not written to logs as URLs are. */
async function ask<T>(url: string, { credential, appsecretProof }: { credential: string; appsecretProof?: string | undefined }, body?: URLSearchParams): Promise<T> {
  const address = new URL(url);
  if (appsecretProof) address.searchParams.set('appsecret_proof', appsecretProof);
  const response = await fetch(address, {
    method: body ? 'POST' : 'GET',
    headers: { Authorization: `Bearer ${credential}` },
    ...(body && { body }),
  });
  const answer = (await response.json()) as T & { error?: { message?: string } };
  if (!response.ok) throw new Error(answer.error?.message ?? `Facebook answered ${response.status}`);
  return answer;
}
