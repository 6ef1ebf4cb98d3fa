import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { type Authpipe, AuthpipeError } from '@authpipe/node';
import { listPages, post } from './pages.js';
import { people, personOf, signIn, signOut } from './people.js';

export interface AppOptions {
  authpipe: Authpipe;
  /** The organization of the application. A real one has many, and knows each person's. */
  tenantId: string;
  /** The origin that browsers see. */
  origin: string;
  graph: string;
  /** The folder of the built web pages. */
  web: string;
  /** The simulator's page for causing failures, to link to. */
  control: string;
  /** The verify token that Facebook sends when it subscribes. */
  webhookVerifyToken: string;
}

/** The application: the handler below /authpipe, its own endpoints below /api, and files. */
export function createApp(options: AppOptions): (request: Request) => Promise<Response> {
  const { authpipe, tenantId, origin, webhookVerifyToken } = options;
  const handler = authpipe.handler({
    origin,
    webhook: { verifyToken: webhookVerifyToken },
    authenticate: (request) => {
      const person = personOf(request);
      return person ? { tenantId, userId: person.id, mayInstall: person.mayInstall } : null;
    },
  });
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith('/authpipe/')) return handler(request);
    if (pathname.startsWith('/api/')) return api(options, request, `${request.method} ${pathname.slice(5)}`);
    return file(options.web, pathname);
  };
}

async function api(options: AppOptions, request: Request, what: string): Promise<Response> {
  // A request that changes something must come from our own page. Browsers say so in a header that no page can set.
  if (request.method !== 'GET' && request.headers.get('sec-fetch-site') !== 'same-origin') return refused(403, 'not from this page');
  if (!(Number(request.headers.get('content-length') ?? (request.body ? NaN : 0)) <= longest)) return refused(413, 'too much');
  const body = request.method === 'GET' ? {} : await objectIn(request);
  if (!body) return refused(400, 'not JSON');
  const person = personOf(request);
  switch (what) {
    case 'GET me':
      return answer({ person: person ?? null, people, control: options.control });
    case 'POST sign-in': {
      const chosen = people.find((each) => each.id === body['person']);
      return chosen ? answer({}, { headers: { 'Set-Cookie': signIn(request, chosen) } }) : refused(400, 'no person has that name');
    }
    case 'POST sign-out':
      return answer({}, { headers: { 'Set-Cookie': signOut(request) } });
  }
  if (!person) return refused(401, 'sign in first');
  return act(options, what, body).catch((error: unknown) => {
    if (!(error instanceof AuthpipeError)) return refused(502, error instanceof Error ? error.message : String(error));
    // The engine's own texts are for the operator: they name paths in Vault.
    console.error(error.message);
    const missing = error.needsReauth || error.code === 'not_found';
    return refused(409, missing ? 'Acme’s Facebook account has to be connected again.' : `That does not work at the moment: ${error.code}.`);
  });
}

async function act(options: AppOptions, what: string, body: Record<string, unknown>): Promise<Response> {
  switch (what) {
    case 'GET pages':
      return answer({ pages: await listPages(options) });
    case 'POST posts':
      return answer(await post(options, String(body['page']), String(body['message'])));
    default:
      return refused(404, 'there is nothing here');
  }
}

/** The largest request body, in bytes. */
const longest = 64 * 1024;

async function objectIn(request: Request): Promise<Record<string, unknown> | undefined> {
  const body: unknown = await request.json().catch(() => undefined);
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : undefined;
}

// It is for one person, at one moment.
const answer = (body: object, { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {}) =>
  Response.json(body, { status, headers: { 'Cache-Control': 'no-store', ...headers } });

const refused = (status: number, error: string) => answer({ error }, { status });

const types: Record<string, string> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

// The page may load only its own files. A connection needs no more, because the consent is in a window of its own.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

async function file(web: string, pathname: string): Promise<Response> {
  const path = join(web, normalize(pathname === '/' ? '/index.html' : pathname));
  try {
    const headers = { 'Content-Type': types[extname(path)] ?? 'application/octet-stream', 'Content-Security-Policy': policy, 'X-Content-Type-Options': 'nosniff' };
    return new Response(await readFile(path), { headers });
  } catch {
    return new Response('not found', { status: 404 });
  }
}
