import { reasonOf } from './cause.js';
import { rest, spread } from './clock.js';
import { AuthpipeError, codeIn, refusal } from './error.js';

/** A request to Vault. */
export interface VaultRequest {
  /** What is attempted, for error texts. */
  op: string;
  method: 'GET' | 'POST' | 'DELETE';
  /** Below /v1/, with each segment unescaped. */
  path: string;
  query?: Record<string, string> | undefined;
  body?: unknown;
  /** How often it may be sent again if Vault did not process it. The default is 2. */
  retries?: number | undefined;
}

/** Vault's response. */
export interface VaultResponse<T = Record<string, unknown>> {
  data: T;
  auth: Auth | undefined;
  warnings: string[];
  /** Vault's time of the response, in ms since the epoch; undefined without a Date header. */
  at: number | undefined;
}

/** A token that Vault has issued or renewed. */
export interface Auth {
  client_token: string;
  lease_duration: number;
  renewable: boolean;
}

/** Options of an HttpTransport. */
export interface TransportOptions {
  vaultAddr: string;
  namespace?: string | undefined;
  fetch: typeof globalThis.fetch;
}

/** More bytes than any response has. */
const answerLimit = 16 << 20;

/** What the client needs of a connection to Vault. */
export interface Transport {
  /** Sends a request with a token, or without one. */
  send<T>(request: VaultRequest, token: string | undefined, signal: AbortSignal): Promise<VaultResponse<T>>;
}

/** Sends requests to Vault over HTTP. It has no token of its own. */
export class HttpTransport implements Transport {
  readonly #options: TransportOptions;
  readonly #base: string;

  constructor(options: TransportOptions) {
    this.#options = options;
    let base: URL;
    try {
      base = new URL(options.vaultAddr);
    } catch {
      throw new TypeError('vaultAddr is not a URL');
    }
    if (base.protocol !== 'http:' && base.protocol !== 'https:') {
      throw new TypeError('vaultAddr must begin with https:// or http://');
    }
    if (base.username || base.password) {
      throw new TypeError('vaultAddr must have no user and no password in it');
    }
    this.#base = (base.origin + base.pathname).replace(/\/+$/, '').replace(/\/v1$/, '');
  }

  /**
   * send sends a request, and sends it again if Vault did not process it, as a node does not that is starting or stepping down. A
   * response of the engine is final. Every request to the engine may be sent twice.
   */
  async send<T>(request: VaultRequest, token: string | undefined, signal: AbortSignal): Promise<VaultResponse<T>> {
    for (let left = request.retries ?? 2, wait = 250; ; left--, wait *= 2) {
      let failure: AuthpipeError;
      try {
        const response = await this.#once(request, token, signal);
        const text = await body(request.op, response);
        if (response.ok) {
          return open<T>(request.op, response, text);
        }
        const texts = errorsIn(text);
        failure = refusal(request.op, response.status, texts);
        if (codeIn(texts) || failure.code !== 'unavailable' || response.status === 429) {
          throw failure; // sending it again would use up Vault's quota
        }
      } catch (error) {
        if (error instanceof AuthpipeError) {
          throw error;
        }
        failure = unreachable(request.op, error, signal);
      }
      if (left <= 0 || !(await rest(spread(wait, 2 * wait), signal))) {
        throw failure;
      }
    }
  }

  async #once(request: VaultRequest, token: string | undefined, signal: AbortSignal): Promise<Response> {
    const path = request.path.split('/').map(encodeURIComponent).join('/');
    let url = new URL(`${this.#base}/v1/${path}`);
    url.search = new URLSearchParams(request.query).toString();
    const init: RequestInit = { method: request.method, headers: this.#headers(request.op, token), redirect: 'manual', signal };
    if (request.body !== undefined) {
      init.body = JSON.stringify(request.body);
    }
    for (let hops = 0; ; hops++) {
      const response = await this.#options.fetch(url, init);
      const location = response.headers.get('location');
      if ((response.status !== 307 && response.status !== 308) || !location || hops === 2) {
        return response;
      }
      // A standby that does not forward. The redirect must not take the token out of TLS.
      const next = new URL(location, url);
      if (next.protocol !== 'https:' && next.protocol !== url.protocol) {
        throw new AuthpipeError({ op: request.op, code: 'unexpected', status: response.status, message: 'Vault redirects from https to http' });
      }
      await response.body?.cancel();
      url = next;
    }
  }

  #headers(op: string, token: string | undefined): Headers {
    const headers = new Headers({ 'X-Vault-Request': 'true', 'Content-Type': 'application/json' });
    if (this.#options.namespace) {
      headers.set('X-Vault-Namespace', this.#options.namespace);
    }
    if (token !== undefined) {
      try {
        headers.set('X-Vault-Token', token);
      } catch {
        // The platform's error quotes the value.
        throw new AuthpipeError({ op, code: 'permission_denied', message: "Vault's token has characters that no token has" });
      }
    }
    return headers;
  }
}

async function body(op: string, response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > answerLimit) {
      throw new AuthpipeError({ op, code: 'unavailable', status: response.status, message: 'the answer is too long' });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

interface Envelope<T> {
  data?: T | null;
  auth?: Auth | null;
  warnings?: string[] | null;
  wrap_info?: unknown;
}

function open<T>(op: string, response: Response, text: string): VaultResponse<T> {
  let envelope: Envelope<T> = {};
  if (text !== '') {
    try {
      envelope = (JSON.parse(text) as Envelope<T> | null) ?? {};
    } catch {
      // Without a cause: the parser's error quotes the text, which may have a part of a credential in it.
      throw new AuthpipeError({ op, code: 'unavailable', status: response.status, message: 'the answer cannot be read' });
    }
  }
  if (envelope.wrap_info) {
    throw new AuthpipeError({ op, code: 'unexpected', status: response.status, message: 'the answer is wrapped' });
  }
  const at = Date.parse(response.headers.get('date') ?? '');
  return {
    data: envelope.data ?? ({} as T),
    auth: envelope.auth ?? undefined,
    warnings: Array.isArray(envelope.warnings) ? envelope.warnings : [],
    at: Number.isNaN(at) ? undefined : at,
  };
}

/**
 * errorsIn returns the errors in Vault's response. A proxy's error page has none, and must not be taken for Vault's empty list of
 * errors.
 */
function errorsIn(text: string): string[] {
  try {
    const { errors } = JSON.parse(text) as { errors?: unknown };
    if (Array.isArray(errors)) {
      return errors.filter((e) => typeof e === 'string');
    }
  } catch {
    // Not JSON.
  }
  return ["the answer is not Vault's"];
}

function unreachable(op: string, error: unknown, signal: AbortSignal): AuthpipeError {
  const why = signal.aborted ? 'it took too long' : (reasonOf(error)?.text ?? 'the connection failed');
  return new AuthpipeError({ op, code: 'unavailable', message: `Vault cannot be reached: ${why}` });
}
