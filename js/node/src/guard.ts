/** Refusal is an error of the handler itself, with the response to send. */
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

/** The headers of every response. A response is for one person, out of date at once, and for the application's own pages only. */
const always = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff', 'Cross-Origin-Resource-Policy': 'same-origin' };

/** json returns a response in JSON, for the application's own scripts. */
export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { ...always, 'Content-Type': 'application/json', ...headers } });
}

/** plain returns a response without a body, or with a line of text. */
export function plain(status: number, text: string | null = null, headers: Record<string, string> = {}): Response {
  return new Response(text, { status, headers: { ...always, ...(text === null ? {} : { 'Content-Type': 'text/plain; charset=utf-8' }), ...headers } });
}

/**
 * sameOrigin refuses a request that another site's page sends with the person's cookies. Browsers name a request's source in
 * Sec-Fetch-Site, older ones in Origin. A page can set neither.
 */
export function sameOrigin(request: Request, own: string): void {
  const { headers } = request;
  const site = headers.get('sec-fetch-site');
  if (site === null ? headers.get('origin') === own : site === 'same-origin') {
    return;
  }
  throw new Refusal(403, 'forbidden', 'The request does not come from a page of this application.');
}

/** jsonBody reads a request's body, which must be an object in JSON: a form on another site cannot send that. */
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
    // Refused below.
  }
  throw new Refusal(400, 'invalid_request', 'The body must be an object in JSON.');
}

/** limited reads a body of at most limit bytes. */
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
