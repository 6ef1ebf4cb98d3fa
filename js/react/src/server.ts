import { type Connection, connectionOf, type Level } from './connection.js';
import { AuthpipeError, errorOf } from './failure.js';

/** Options of an attempt. */
export interface ConnectOptions {
  /** The scopes to ask for, instead of the configured ones. */
  scopes?: string[] | undefined;
  /** Ask again for permissions that were declined before. */
  reauthorize?: boolean | undefined;
  /** Where the browser goes when it comes back in this tab: a path of this origin. The default is its address now. */
  returnTo?: string | undefined;
}

export interface Started {
  sessionId: string;
  authorizationUrl: string;
  /** In RFC 3339, by this machine's clock. */
  expiresAt: string;
}

export interface Session {
  status: 'pending' | 'authorized' | 'redeeming' | 'completed' | 'failed' | 'expired';
  error?: AuthpipeError;
}

const statuses = new Set<unknown>(['pending', 'authorized', 'redeeming', 'completed', 'failed', 'expired']);

/** The endpoints of the handler of `@authpipe/node` in the application's own server. */
export class Server {
  readonly #base: string;
  readonly #fetch: typeof fetch;
  /** How far this machine's clock is ahead of the server's, in ms, as of the last answer. */
  #ahead = 0;

  constructor(base: string, fetcher?: typeof fetch) {
    // A base on another origin would receive cookies that are not meant for it, or none.
    if (!/^\/(?![/\\])/.test(base)) throw new TypeError(`basePath must be a path of this origin, such as /authpipe: ${base}`);
    this.#base = base.replace(/\/+$/, '');
    this.#fetch = fetcher ?? ((input, init) => fetch(input, init));
  }

  async start(provider: string, level: Level, options: ConnectOptions): Promise<Started> {
    const { sessionId, authorizationUrl, expiresAt } = await this.#post('start', { provider, for: level, ...options });
    if (typeof sessionId !== 'string' || typeof authorizationUrl !== 'string' || typeof expiresAt !== 'string') {
      throw new AuthpipeError('invalid_response', 'the handler began no session');
    }
    if (!/^https?:\/\//.test(authorizationUrl)) {
      throw new AuthpipeError('invalid_response', 'the handler answered an authorization URL that is none');
    }
    const ends = Date.parse(expiresAt) + this.#ahead;
    if (Number.isNaN(ends)) throw new AuthpipeError('invalid_response', 'the handler began a session that ends at no time');
    return { sessionId, authorizationUrl, expiresAt: new Date(ends).toISOString() };
  }

  async status(provider: string, level: Level): Promise<Connection | null> {
    const answer = await this.#get('status', { provider, for: level });
    return connectionOf(answer['connection'] ?? null);
  }

  async session(id: string): Promise<Session> {
    const { status, error } = await this.#get('session', { session_id: id });
    if (!statuses.has(status)) throw new AuthpipeError('invalid_response', 'the handler answered no state of the session');
    const failed = errorOf(error);
    return { status: status as Session['status'], ...(failed && { error: failed }) };
  }

  async disconnect(provider: string, level: Level): Promise<void> {
    await this.#post('disconnect', { provider, for: level });
  }

  #get(path: string, query: Record<string, string>) {
    return this.#call(`${this.#base}/${path}?${new URLSearchParams(query)}`, {});
  }

  #post(path: string, body: object) {
    const headers = { 'Content-Type': 'application/json' };
    return this.#call(`${this.#base}/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  }

  async #call(url: string, init: RequestInit): Promise<Record<string, unknown>> {
    const headers = { Accept: 'application/json', ...init.headers };
    let response: Response;
    try {
      response = await this.#fetch(url, { ...init, headers, credentials: 'same-origin', cache: 'no-store' });
    } catch {
      throw new AuthpipeError('unavailable', 'the application cannot be reached');
    }
    // Devices' clocks may be wrong by hours, and a session ends by the server's.
    const there = Date.parse(response.headers.get('Date') ?? '');
    this.#ahead = Number.isNaN(there) ? 0 : Date.now() - there;
    if (response.status === 204) return {};
    const answer: unknown = await response.json().catch(() => undefined);
    const fields = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<string, unknown>;
    if (response.ok && fields === answer) return fields;
    throw errorOf(fields['error']) ?? new AuthpipeError(response.ok ? 'invalid_response' : 'unavailable', `the handler answered ${response.status}`);
  }
}
