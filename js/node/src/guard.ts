import { AuthpipeError } from './error.js';
import type { ErrorView } from './handler-options.js';

/** A Refusal is what the handler itself refuses with. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Record<string, string>;

  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** What every answer says: it is about one person, at one moment, and for the application's own pages. */
const always = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff', 'Cross-Origin-Resource-Policy': 'same-origin' };

/** json is an answer to a script of the application's own. */
export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { ...always, 'Content-Type': 'application/json', ...headers } });
}

/** plain is an answer without a body, or with a line of text. */
export function plain(status: number, text: string | null = null, headers: Record<string, string> = {}): Response {
  return new Response(text, { status, headers: { ...always, ...(text === null ? {} : { 'Content-Type': 'text/plain; charset=utf-8' }), ...headers } });
}

/**
 * sameOrigin refuses what another site's page sends along the person's cookies. Browsers say by Sec-Fetch-Site where a request
 * comes from, those that are older by Origin; neither can be written by a page.
 */
export function sameOrigin(request: Request, own: string): void {
  const { headers } = request;
  const site = headers.get('sec-fetch-site');
  if (site === null ? headers.get('origin') === own : site === 'same-origin') {
    return;
  }
  throw new Refusal(403, 'forbidden', 'The request does not come from a page of this application.');
}

/** jsonBody reads a request's body, which must be an object in JSON: a form of another site's cannot send that. */
export async function jsonBody(request: Request): Promise<Record<string, unknown>> {
  if (!/^application\/json\s*(;|$)/i.test(request.headers.get('content-type') ?? '')) {
    throw new Refusal(403, 'forbidden', 'The request must be application/json.');
  }
  const bytes = await limited(request, 64 << 10);
  try {
    const body: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
      return body as Record<string, unknown>;
    }
  } catch {
    // It is told below.
  }
  throw new Refusal(400, 'invalid_request', 'The body must be an object in JSON.');
}

/** limited reads a body that is not longer than it may be. */
export async function limited(request: Request, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (request.body as AsyncIterable<Uint8Array> | null) ?? []) {
    size += chunk.length;
    if (size > limit) {
      throw new Refusal(413, 'invalid_request', 'The body is too long.');
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What people are told. The engine's own words are for who runs it, and name paths of Vault's. */
const messages: Record<string, string> = {
  invalid_request: 'This cannot be asked for.',
  not_found: 'There is no such connection.',
  needs_reauth: 'The connection has ended. Connect again.',
  revoked: 'The connection was taken back at the provider. Connect again.',
  failed: 'The connection has expired. Connect again.',
  suspended: 'Connecting is switched off at the moment.',
  installation_required: 'The app is not installed for your organization yet. Ask somebody who may install it.',
  account_mismatch: 'Another account is connected here. Sign in at the provider with that account, or disconnect it first.',
  actor_mismatch: 'This was begun by somebody else. Begin again.',
  session_used: 'This was used already. Begin again.',
  session_expired: 'It took too long. Begin again.',
  access_denied: 'Access was declined at the provider.',
  pending: 'It is not finished yet. Try again in a moment.',
  cancelled: 'It was cancelled.',
  interrupted: 'It was interrupted. Begin again.',
  expired: 'It took too long. Begin again.',
  throttled: 'The provider takes no more requests at the moment. Try again later.',
};

/** messageOf is what people are told of a code. */
export function messageOf(code: string): string {
  return messages[code] ?? 'It does not work at the moment. Try again later.';
}

/** Codes of the engine that speak of what was asked for. The others are between the application and Vault, or the provider. */
const theirs = new Set(Object.keys(messages));

/** viewOf is what a browser is told of an error, and the status to tell it with. */
export function viewOf(error: unknown): { status: number; view: ErrorView; headers: Record<string, string> } {
  if (error instanceof Refusal) {
    return { status: error.status, view: { code: error.code, message: error.message }, headers: error.headers };
  }
  if (!(error instanceof AuthpipeError)) {
    return { status: 500, view: { code: 'internal', message: messageOf('internal') }, headers: {} };
  }
  const { code } = error;
  const status = theirs.has(code) ? (error.status ?? 400) : code === 'misconfigured' ? 424 : 502;
  // What this client has found wrong with a name has no status: it names the field, and nothing of Vault's.
  return { status, view: { code, message: code === 'invalid_request' && error.status === undefined ? error.detail : messageOf(code) }, headers: {} };
}
