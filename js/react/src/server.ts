import { type Connection, connectionOf, type Level } from './connection.js';
import { AuthpipeError, errorOf } from './failure.js';

/** What a connection is asked for with. */
export interface ConnectOptions {
  /** Instead of those that the operator has configured. */
  scopes?: string[] | undefined;
  /** Ask again for permissions that were declined before. */
  reauthorize?: boolean | undefined;
  /** Where the browser goes when it comes back in this tab: a path of this origin. Default: where it is now. */
  returnTo?: string | undefined;
}

export interface Started {
  sessionId: string;
  authorizationUrl: string;
  /** RFC 3339, by this machine's clock. */
  expiresAt: string;
}

export interface Session {
  status: 'pending' | 'authorized' | 'redeeming' | 'completed' | 'failed' | 'expired';
  error?: AuthpipeError;
}

const statuses = new Set<unknown>(['pending', 'authorized', 'redeeming', 'completed', 'failed', 'expired']);

/** The application's own server, as far as the handler of `@authpipe/node` answers below a base path. */
export class Server {
  readonly #base: string;
  readonly #fetch: typeof fetch;
  /** How far, in milliseconds, this machine's clock is ahead of the server's, as of the last answer. */
  #ahead = 0;

  constructor(base: string, fetcher?: typeof fetch) {
    // A base elsewhere would be sent cookies that are not meant for it, or none: the components' own origin, or nothing.
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
    // People's clocks are wrong by hours, and it is the server's by which a session ends.
    const there = Date.parse(response.headers.get('Date') ?? '');
    this.#ahead = Number.isNaN(there) ? 0 : Date.now() - there;
    if (response.status === 204) return {};
    const answer: unknown = await response.json().catch(() => undefined);
    const fields = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<string, unknown>;
    if (response.ok && fields === answer) return fields;
    throw errorOf(fields['error']) ?? new AuthpipeError(response.ok ? 'invalid_response' : 'unavailable', `the handler answered ${response.status}`);
  }
}
