import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';

/** A request, with what Express adds to it. */
type Incoming = IncomingMessage & { originalUrl?: string; body?: unknown; rawBody?: unknown };

/** The signature that Node's `http`, Express and Connect call. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void) => void;

/**
 * Adapts a Web-standard handler to Node's `http`, Express and Connect.
 *
 * ```js
 * app.use('/authpipe', toNodeHandler(authpipe.handler({ authenticate })));
 * ```
 *
 * Put it before middleware that parses bodies: webhooks are signed over the raw bytes.
 */
export function toNodeHandler(handler: (request: Request) => Promise<Response>): NodeHandler {
  return (incoming, outgoing, next) => {
    serve(handler, incoming, outgoing).catch((error: unknown) => {
      if (next) {
        next(error);
      } else if (outgoing.headersSent) {
        outgoing.destroy();
      } else {
        outgoing.writeHead(500).end();
      }
    });
  };
}

async function serve(handler: (request: Request) => Promise<Response>, incoming: Incoming, outgoing: ServerResponse): Promise<void> {
  const request = requestOf(incoming);
  if (!request) {
    outgoing.writeHead(400).end();
    return;
  }
  const response = await handler(request);
  // Headers joins values by commas. Cookies must stay apart.
  const cookies = response.headers.getSetCookie();
  const headers: Record<string, string | string[]> = Object.fromEntries([...response.headers].filter(([name]) => name !== 'set-cookie'));
  if (cookies.length > 0) {
    headers['set-cookie'] = cookies;
  }
  outgoing.writeHead(response.status, headers);
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}

/** requestOf returns the Web's form of a request; undefined if there is none, as without a host. */
function requestOf(incoming: Incoming): Request | undefined {
  const init: RequestInit & { duplex?: 'half' } = { method: incoming.method ?? 'GET', headers: headersOf(incoming) };
  const url = urlOf(incoming);
  if (!url || init.method === 'TRACE' || init.method === 'CONNECT') { // Request refuses these
    return undefined;
  }
  if (init.method !== 'GET' && init.method !== 'HEAD') {
    init.body = bodyOf(incoming);
    init.duplex = 'half';
  }
  return new Request(url, init);
}

/**
 * urlOf returns a request's URL. The host comes from the header, never from the path: a path may begin with two slashes of either
 * kind.
 */
function urlOf(incoming: Incoming): string | undefined {
  const scheme = 'encrypted' in incoming.socket && incoming.socket.encrypted ? 'https' : 'http';
  const host = incoming.headers.host ?? incoming.headers[':authority'] ?? 'localhost';
  const path = (incoming.originalUrl ?? incoming.url ?? '/').replace(/^[/\\]*/, '/');
  try {
    const { origin, href } = new URL(`${scheme}://${String(host)}`);
    return href === `${origin}/` ? origin + path : undefined;
  } catch {
    return undefined;
  }
}

function headersOf(incoming: Incoming): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) {
    for (const one of name.startsWith(':') ? [] : [value ?? ''].flat()) { // HTTP/2's pseudo-headers are among them
      headers.append(name, one);
    }
  }
  return headers;
}

/** bodyOf returns the raw body, or the nearest to it if some middleware has parsed it. */
function bodyOf(incoming: Incoming): NonNullable<RequestInit['body']> {
  for (const raw of [incoming.rawBody, incoming.body]) {
    if (raw instanceof Uint8Array || typeof raw === 'string') {
      return raw as Uint8Array<ArrayBuffer> | string;
    }
  }
  if (incoming.body === undefined || !incoming.readableEnded) {
    return Readable.toWeb(incoming) as ReadableStream;
  }
  if (incoming.headers['x-hub-signature-256'] !== undefined) {
    throw new Error('the body was parsed before it came to authpipe, and cannot be verified: put toNodeHandler before express.json()');
  }
  return JSON.stringify(incoming.body);
}
