import { report, signedIn, type Context } from './context.js';
import { AuthpipeError } from './error.js';
import { json, jsonBody, plain, Refusal, sameOrigin } from './guard.js';
import type { HandlerOptions, Relay, SignedIn } from './handler-options.js';
import type { InstallationRequest, UserRequest } from './request.js';
import { finish, type ReturnClient } from './return.js';
import * as returnTo from './return-to.js';
import type { ConnectRequest, Session, StartedSession } from './session.js';
import { messageOf, viewed, viewOf, type StartAnswer } from './view.js';
import { webhook } from './webhook.js';

/** What the handler needs of the client. */
export interface HandlerClient extends ReturnClient, Relay {
  connect(request: ConnectRequest): Promise<Pick<StartedSession, 'sessionId' | 'authorizationUrl' | 'expiresAt'>>;
  disconnect(connection: Own): Promise<unknown>;
}

type HandlerContext = Context<HandlerClient>;
type Endpoint = (context: HandlerContext) => Promise<Response>;

/** handle returns the function that serves all endpoints below the base path. */
export function handle(client: HandlerClient, options: HandlerOptions): (request: Request) => Promise<Response> {
  const base = `/${(options.basePath ?? '/authpipe').replace(/^\/+|\/+$/g, '')}`.replace(/^\/$/, '');
  const origin = options.origin === undefined ? undefined : originOf(options.origin);
  const relaying = new Set<Context>();
  return async (request) => {
    const url = new URL(request.url);
    const context: HandlerContext = { client, options, request, url, own: origin ?? url.origin, base, relaying };
    try {
      return await route(context)(context);
    } catch (error) {
      const { status, view, headers } = viewOf(error);
      report(context, error);
      return json(status, { error: view }, headers);
    }
  };
}

/** originOf refuses a URL without an origin of its own. Its origin would be "null", which every sandboxed frame has, too. */
function originOf(text: string): string {
  const { origin, protocol } = new URL(text);
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw new TypeError('origin must begin with https:// or http://');
  }
  return origin;
}

const endpoints: Record<string, Record<string, Endpoint>> = {
  start: { POST: start },
  return: { GET: finish },
  status: { GET: status },
  session: { GET: session },
  disconnect: { POST: disconnect },
};

function route({ request, url, base, options }: HandlerContext): Endpoint {
  const below = url.pathname.startsWith(`${base}/`) ? url.pathname.slice(base.length + 1) : '';
  const provider = /^webhook\/([^/]+)$/.exec(below)?.[1];
  const methods = provider === undefined ? (Object.hasOwn(endpoints, below) ? endpoints[below] : undefined) : options.webhook && webhook(provider);
  if (!methods) {
    throw new Refusal(404, 'not_found', 'There is nothing here.');
  }
  const endpoint = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
  if (!endpoint) {
    throw new Refusal(405, 'invalid_request', 'The method is not allowed.', { Allow: Object.keys(methods).join(', ') });
  }
  return endpoint;
}

/** start begins a session for the person who is signed in. */
async function start(context: HandlerContext): Promise<Response> {
  const { client, options, request, own, base } = context;
  sameOrigin(request, own);
  const body = await jsonBody(request);
  const who = await signedIn(context);
  const whose = mayChange(who, text(body, 'provider'), body.for);
  const to = returnTo.asked(body.returnTo, own);
  const scopes = allowed(body.scopes, options.scopes);
  let connect: ConnectRequest = { ...whose, actor: who.userId, returnUrl: `${own}${base}/return`, scopes, reauthorize: body.reauthorize === true };
  connect = (await options.onStart?.(connect, who, request)) ?? connect;
  if (connect.credentialFor !== 'user') {
    mayInstall(who);
  }
  // onStart cannot change the actor or the tenant.
  const started = await client.connect({ ...connect, actor: who.userId, tenantId: who.tenantId });
  const answer: StartAnswer = {
    sessionId: started.sessionId, authorizationUrl: started.authorizationUrl, expiresAt: started.expiresAt.toISOString(),
  };
  const response = json(200, answer);
  for (const cookie of to === undefined ? [] : returnTo.keep(request, started.sessionId, to, started.expiresAt, own)) {
    response.headers.append('Set-Cookie', cookie);
  }
  return response;
}

/** status answers with a connection; null if there is none. */
async function status(context: HandlerContext): Promise<Response> {
  const who = await signedIn(context);
  const { searchParams } = context.url;
  const whose = named(who, searchParams.get('provider') ?? undefined, searchParams.get('for'));
  try {
    const connection = await context.client.connection(whose);
    // The engine returns it until the removal has ended, which may take minutes. For people it is disconnected.
    return json(200, { connection: connection.removing ? null : viewed(connection) });
  } catch (error) {
    if (absent(error)) {
      return json(200, { connection: null });
    }
    throw error;
  }
}

/** session answers with the status of a session of this person's, for a page whose popup was closed or whose message was lost. */
async function session(context: HandlerContext): Promise<Response> {
  const who = await signedIn(context);
  let found: Session | undefined;
  try {
    found = await context.client.session(who.tenantId, context.url.searchParams.get('session_id') ?? '');
  } catch (error) {
    if (!absent(error)) {
      throw error;
    }
  }
  if (found?.actor !== who.userId) {
    throw new Refusal(404, 'not_found', 'There is no such session.');
  }
  const error = found.error && { code: found.error.code, message: messageOf(found.error.code) };
  return json(200, { status: found.status, ...(error ? { error } : {}) });
}

/** disconnect revokes a connection. It succeeds if there is none. */
async function disconnect(context: HandlerContext): Promise<Response> {
  sameOrigin(context.request, context.own);
  const body = await jsonBody(context.request);
  const who = await signedIn(context);
  try {
    await context.client.disconnect(mayChange(who, text(body, 'provider'), body.for));
  } catch (error) {
    if (!absent(error)) {
      throw error;
    }
  }
  return plain(204);
}

/** allowed returns the scopes that a page asks for, if the application has listed all of them. */
function allowed(scopes: unknown, listed: readonly string[] = []): string[] | undefined {
  if (scopes === undefined) {
    return undefined;
  }
  if (!Array.isArray(scopes) || !scopes.every((scope): scope is string => typeof scope === 'string')) {
    throw new Refusal(400, 'invalid_request', 'scopes must be a list of strings.');
  }
  if (!scopes.every((scope) => listed.includes(scope))) {
    throw new Refusal(400, 'invalid_request', 'scopes must be among those that the application lists.');
  }
  return scopes;
}

type Own = InstallationRequest | UserRequest;

/** named returns the connection that a request means. The browser says installation or user; tenant and user come from the application. */
function named(who: SignedIn, provider: string | undefined, whose: unknown): Own {
  if (whose !== 'installation' && whose !== 'user') {
    throw new Refusal(400, 'invalid_request', 'for must be installation or user.');
  }
  const { tenantId, userId } = who;
  return whose === 'user' ? { provider, tenantId, credentialFor: 'user', userId } : { provider, tenantId, credentialFor: 'installation' };
}

function mayChange(who: SignedIn, provider: string | undefined, whose: unknown): Own {
  const own = named(who, provider, whose);
  if (own.credentialFor === 'installation') {
    mayInstall(who);
  }
  return own;
}

function mayInstall(who: SignedIn): void {
  if (who.mayInstall !== true) {
    throw new Refusal(403, 'forbidden', 'You may not install this app for your organization.');
  }
}

function text(body: Record<string, unknown>, field: string): string | undefined {
  const value = body[field];
  if (value !== undefined && typeof value !== 'string') {
    throw new Refusal(400, 'invalid_request', `${field} must be a string.`);
  }
  return value;
}

function absent(error: unknown): boolean {
  return error instanceof AuthpipeError && error.code === 'not_found';
}
