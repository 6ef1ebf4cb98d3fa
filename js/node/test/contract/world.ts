import { inject } from 'vitest';

import { Authpipe, type AuthpipeOptions, type ConnectRequest, type Connection } from '../../src/index.js';
import { operator, origin } from './stage.js';

export const stage = inject('stage');
export { origin };

/** vault sends a request as an operator. */
export const vault = operator(stage.vaultAddr, stage.rootToken);

/** client returns a client with all rights. */
export function client(options: AuthpipeOptions = {}): Authpipe {
  return new Authpipe({ vaultAddr: stage.vaultAddr, auth: { method: 'token', token: stage.rootToken }, ...options });
}

/** The person at the browser, and what they do in Facebook's dialog. The simulator reads both from its URL. */
export interface Browser {
  person?: 'ada' | 'uma';
  cancels?: boolean;
  declines?: string;
}

/** authorize plays a browser that goes to Facebook and comes back to the engine's page. It returns where that page leads. */
export async function authorize(authorizationUrl: string, browser: Browser = {}): Promise<URL> {
  const dialog = new URL(authorizationUrl);
  dialog.searchParams.set('_user', browser.person ?? 'ada');
  if (browser.cancels) dialog.searchParams.set('_cancel', '1');
  if (browser.declines) dialog.searchParams.set('_decline', browser.declines);
  const page = await fetch(dialog);
  const html = await page.text();
  const leads = /http-equiv="refresh" content="0; url=([^"]*)"/.exec(html)?.[1];
  if (!leads) throw new Error(`the page leads nowhere: ${page.status} ${html}`);
  return new URL(leads.replaceAll('&amp;', '&'));
}

/** connect connects from start to end, as one person. */
export async function connect(authpipe: Authpipe, request: ConnectRequest, browser: Browser = {}): Promise<Connection> {
  const started = await authpipe.connect({ ...request, returnUrl: `${origin}/authpipe/return` });
  const back = await authorize(started.authorizationUrl, browser);
  const actor = request.actor ?? (request.credentialFor === 'user' ? request.userId : '');
  return authpipe.complete({ tenantId: request.tenantId, sessionId: started.sessionId, actor, connectCode: back.searchParams.get('connect_code') ?? '' });
}

/** install connects a tenant's installation, and returns the request for it. */
export async function install(authpipe: Authpipe, tenantId: string): Promise<Connection> {
  return connect(authpipe, { tenantId, credentialFor: 'installation', actor: 'alice' });
}

/** breaks presses a button of the simulator's control page. */
export async function breaks(action: string, more: Record<string, string> = {}): Promise<void> {
  const response = await fetch(`${stage.facebook}/_control`, {
    method: 'POST', body: new URLSearchParams({ action, ...more }), headers: { 'Sec-Fetch-Site': 'same-origin' }, redirect: 'manual',
  });
  if (response.status !== 303) throw new Error(`${action}: ${response.status}`);
}
