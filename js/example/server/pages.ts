import type { Authpipe } from '@authpipe/node';

/** The client for the organization's pages. */
export interface Pages {
  authpipe: Authpipe;
  tenantId: string;
  /** The Graph API's base, with its version. */
  graph: string;
}

/** The pages that the installation reaches. */
export async function listPages(pages: Pages): Promise<{ id: string; name: string }[]> {
  const { data } = await ask<{ data: { id: string; name: string }[] }>(pages, 'me/accounts?fields=id,name');
  return data;
}

/** Publishes on a page, with the page's own token. */
export function post(pages: Pages, pageId: string, message: string): Promise<{ id: string }> {
  return ask({ ...pages, pageId }, `${encodeURIComponent(pageId)}/feed`, { method: 'POST', body: new URLSearchParams({ message }) });
}

/** Calls the Graph API as the organization or a page. The client adds the token and its proof. */
async function ask<T>({ authpipe, tenantId, graph, pageId }: Pages & { pageId?: string }, path: string, init?: RequestInit): Promise<T> {
  // A real application leaves the origins out: tokens then go to Facebook only.
  const send = authpipe.graph({ provider: 'facebook', tenantId, credentialFor: 'installation', pageId }, { origins: [new URL(graph).origin] });
  const response = await send(`${graph}/${path}`, init);
  const answer = (await response.json()) as T & { error?: { message?: string } };
  if (!response.ok) throw new Error(answer.error?.message ?? `Facebook answered ${response.status}`);
  return answer;
}
