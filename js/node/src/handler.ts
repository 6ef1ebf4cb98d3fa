import type { Authpipe } from './authpipe.js';
import { AuthpipeError } from './error.js';
import { json, jsonBody, plain, Refusal, sameOrigin } from './guard.js';
import type { HandlerOptions, SignedIn } from './handler-options.js';
import type { InstallationRequest, UserRequest } from './request.js';
import { finish } from './return.js';
import * as returnTo from './return-to.js';
import type { ConnectRequest, Session } from './session.js';
import { messageOf, viewed, viewOf, type StartAnswer } from './view.js';
import { webhook } from './webhook.js';

/** What every endpoint is given. */
export interface Call {
  client: Authpipe;
  options: HandlerOptions;
  request: Request;
  url: URL;
  /** The application's own origin. */
  own: string;
  /** Where the endpoints are. */
  base: string;
  /** The calls that write a webhook's delivery to Vault. */
  relaying: Set<Call>;
}

type Endpoint = (call: Call) => Promise<Response>;

/** handle returns the function that serves all endpoints below the base path. */
export function handle(client: Authpipe, options: HandlerOptions): (request: Request) => Promise<Response> {
  const base = `/${(options.basePath ?? '/authpipe').replace(/^\/+|\/+$/g, '')}`.replace(/^\/$/, '');
  const origin = options.origin === undefined ? undefined : originOf(options.origin);
  const relaying = new Set<Call>();
  return async (request) => {
    const url = new URL(request.url);
    const call = { client, options, request, url, own: origin ?? url.origin, base, relaying };
    try {
      return await route(call)(call);
    } catch (error) {
      const { status, view, headers } = viewOf(error);
      report(call, error);
      return json(status, { error: view }, headers);
    }
  };
}

/** originOf refuses what has no origin: "null" is one that any site's sandboxed frame has. */
function originOf(text: string): string {
  const { origin, protocol } = new URL(text);
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw new TypeError('origin must begin with https:// or http://');
  }
  return origin;
}

/** report tells the application what is worth knowing: not what the handler itself refuses. */
export function report({ options, request }: Call, error: unknown): void {
  if (error instanceof Refusal) {
    return;
  }
  try {
    options.onError?.(error, request);
  } catch {
    // It was told.
  }
}

const endpoints: Record<string, Record<string, Endpoint>> = {
  start: { POST: start },
  return: { GET: finish },
  status: { GET: status },
  session: { GET: session },
  disconnect: { POST: disconnect },
};

function route({ request, url, base, options }: Call): Endpoint {
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

/** signedIn asks the application who is there. Who has no id is nobody: they would be whoever else has none. */
export async function signedIn({ options, request }: Call): Promise<SignedIn> {
  const who = await options.authenticate(request);
  if (!who || ![who.tenantId, who.userId].every((id) => typeof id === 'string' && id !== '')) {
    throw new Refusal(401, 'unauthenticated', 'Nobody is signed in.');
  }
  return who;
}

/** start begins a session in the name of who is signed in. */
async function start(call: Call): Promise<Response> {
  const { client, options, request, own, base } = call;
  sameOrigin(request, own);
  const body = await jsonBody(request);
  const who = await signedIn(call);
  const whose = mayChange(who, text(body, 'provider'), body.for);
  const to = returnTo.asked(body.returnTo, own);
  const scopes = allowed(body.scopes, options.scopes);
  let connect: ConnectRequest = { ...whose, actor: who.userId, returnUrl: `${own}${base}/return`, scopes, reauthorize: body.reauthorize === true };
  connect = (await options.onStart?.(connect, who, request)) ?? connect;
  if (connect.credentialFor !== 'user') {
    mayInstall(who);
  }
  // Whatever onStart has made of it, it is begun by who is there, for their tenant.
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

/** status tells how a connection is; null if there is none. */
async function status(call: Call): Promise<Response> {
  const who = await signedIn(call);
  const { searchParams } = call.url;
  const whose = named(who, searchParams.get('provider') ?? undefined, searchParams.get('for'));
  try {
    const connection = await call.client.connection(whose);
    // The engine tells of it until it has revoked all that it can, which may take minutes; for people it is over.
    return json(200, { connection: connection.removing ? null : viewed(connection) });
  } catch (error) {
    if (absent(error)) {
      return json(200, { connection: null });
    }
    throw error;
  }
}

/** session tells how far a session is that this person began: for a popup that was closed, or a message that was lost. */
async function session(call: Call): Promise<Response> {
  const who = await signedIn(call);
  let found: Session | undefined;
  try {
    found = await call.client.session(who.tenantId, call.url.searchParams.get('session_id') ?? '');
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

/** disconnect revokes a connection. What is not there is disconnected. */
async function disconnect(call: Call): Promise<Response> {
  sameOrigin(call.request, call.own);
  const body = await jsonBody(call.request);
  const who = await signedIn(call);
  try {
    await call.client.disconnect(mayChange(who, text(body, 'provider'), body.for));
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

/** named is the connection that a browser means. It says for whom, and the application who that is. */
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
