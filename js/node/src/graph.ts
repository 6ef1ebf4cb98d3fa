import { quiet, quietBody } from './cause.js';
import type { Credential } from './credential.js';
import { invalid } from './error.js';

/** The Graph API's origins: the only ones that receive a token. */
const graphOrigins: readonly string[] = ['https://graph.facebook.com', 'https://graph-video.facebook.com'];

/** Options of `graph`. */
export interface GraphOptions {
  /** Origins that receive the token instead of the Graph API's own, such as a test double's: `http://127.0.0.1:8080`. */
  origins?: readonly string[] | undefined;
  /** Sends the requests. The default is the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
}

/** What graphFetch needs of the client. */
export interface GraphSource {
  get(signal: AbortSignal | undefined): Promise<Credential>;
  reportDead(dead: Credential, signal: AbortSignal | undefined): Promise<Credential>;
}

/** graphFetch returns a fetch that adds a token and its proof. */
export function graphFetch(source: GraphSource, options: GraphOptions): typeof globalThis.fetch {
  const origins = new Set((options.origins ?? graphOrigins).map((origin) => new URL(origin).origin));
  const send = options.fetch ?? globalThis.fetch;
  return async (input, init) => {
    const request = new Request(input, init);
    if (!origins.has(new URL(request.url).origin)) {
      return send(request);
    }
    const body = replayable(input, init) ? await whole(request, init) : undefined;
    const credential = await source.get(request.signal);
    const response = await signed(send, request, init, body, credential);
    if (!(await blames(response))) {
      return response;
    }
    const next = await source.reportDead(credential, request.signal).catch(() => undefined);
    request.signal.throwIfAborted();
    // There is no other credential, or it was found alive a moment ago, or the body cannot be sent again.
    if (!next || next === credential || !body) {
      return response;
    }
    await response.body?.cancel();
    return signed(send, request, init, body, next);
  };
}

/** replayable reports whether a request may be sent twice. A stream is consumed, and keeping it would hold all of it in memory. */
function replayable(input: string | URL | Request, init: RequestInit | undefined): boolean {
  const body: unknown = init?.body;
  if (body !== undefined && body !== null) {
    return !(body instanceof ReadableStream) && !(typeof body === 'object' && Symbol.asyncIterator in body);
  }
  return !(input instanceof Request) || input.body === null;
}

/** A body that can be sent again and whose length is known; or none. */
interface Whole {
  body: NonNullable<RequestInit['body']> | null;
}

async function whole(request: Request, init: RequestInit | undefined): Promise<Whole> {
  if (init?.body instanceof Blob) {
    return { body: init.body }; // it may be a file, which is not read into memory
  }
  return { body: request.body === null ? null : new Uint8Array(await request.arrayBuffer()) };
}

/** signed sends a request with the credential. */
async function signed(send: typeof globalThis.fetch, request: Request, init: RequestInit | undefined, body: Whole | undefined, credential: Credential): Promise<Response> {
  if (credential.source === 'static') {
    throw invalid('credentialFor', 'names no token to call the Graph API with');
  }
  const headers = new Headers(request.headers);
  try {
    headers.set('Authorization', `Bearer ${credential.credential}`);
  } catch {
    throw invalid('credential', 'has characters that no token has'); // the platform's error quotes the value
  }
  const { method, redirect, signal } = request;
  const as = body ? { ...init, ...body, method, headers, redirect, signal } : new Request(request, { headers });
  const sent = new Request(signedUrl(request.url, credential), as);
  try {
    const response = await send(sent);
    return shown(quieted(response, signal), request.url, response);
  } catch (error) {
    throw signal.aborted ? error : quiet(error); // it may quote the URL that was sent, or the Graph API's answer, with tokens of pages
  }
}

/** quieted returns a response whose body's errors quote nothing that was sent. */
function quieted(response: Response, signal: AbortSignal): Response {
  const { status, statusText, headers, body } = response;
  return body ? new Response(quietBody(body as ReadableStream<Uint8Array>, signal), { status, statusText, headers }) : response;
}

/**
 * shown returns a response that has the URL of the caller's request and not the one that was sent, so that logging it, or a copy,
 * shows no proof.
 */
function shown(response: Response, url: string, { redirected, type }: Pick<Response, 'redirected' | 'type'>): Response {
  const { clone } = response;
  const fixed = Object.entries({ url, redirected, type, clone: () => shown(clone.call(response), url, { redirected, type }) });
  return Object.defineProperties(response, Object.fromEntries(fixed.map(([name, value]) => [name, { value, configurable: true }])));
}

const secrets = new Set(['access_token', 'appsecret_proof', 'appsecret_time']);

/**
 * signedUrl adds the proof to a query and leaves the rest as it was written: another order or spelling would be a change too. The
 * Graph API's URL of a next page has an old access_token in it, which is removed.
 */
function signedUrl(text: string, credential: Credential): string {
  const url = new URL(text);
  const kept = url.search.slice(1).split('&').filter((part) => part !== '' && !secrets.has(nameIn(part)));
  if (credential.appSecretProof !== undefined) {
    kept.push(`appsecret_proof=${encodeURIComponent(credential.appSecretProof)}`);
  }
  url.search = kept.join('&');
  return url.href;
}

function nameIn(part: string): string {
  const [name = ''] = new URLSearchParams(part).keys();
  return name;
}

/** More bytes than any error has. */
const errorLimit = 64 << 10;

/**
 * blames reports whether a response says that the token is dead (code 190; Meta, "Handle Errors") or the proof invalid. A token of
 * the wrong kind, such as a person's where a page's is needed, is not dead.
 */
async function blames(response: Response): Promise<boolean> {
  if (response.status < 400) {
    return false;
  }
  try {
    const { error } = JSON.parse(await beginning(response.clone())) as { error?: { message?: unknown; code?: unknown } };
    const message = String(error?.message ?? '');
    // The code of a wrong proof varies: 100, or 1 as of an unknown error.
    return message.includes('appsecret_proof') || (Number(error?.code) === 190 && !message.includes('must be called with a'));
  } catch {
    return false; // a proxy's error page
  }
}

async function beginning(response: Response): Promise<string> {
  if (!response.body) {
    return '';
  }
  const reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    chunks.push(read.value);
    size += read.value.length;
    if (size > errorLimit) {
      void reader.cancel(undefined).catch(() => undefined); // it ends when the other copy does
      break;
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}
