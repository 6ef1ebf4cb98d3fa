import type { Connection, Level } from '../src/index.js';

type Json = Record<string, unknown>;

/** The handler, as a browser sees it, without a server and an engine. Its fields control it. */
export class FakeHandler {
  /** The requests, in order: method, path and body. */
  readonly asked: { method: string; path: string; query: URLSearchParams; body: Json; init: RequestInit }[] = [];
  connection: Json | null = null;
  /** The state of each session that was begun. */
  readonly sessions = new Map<string, Json>();
  /** The error of a path instead of an answer, by its name: start, status, session, disconnect. */
  readonly refuses = new Map<string, { status: number; code: string }>();
  /** While set, no request is answered. */
  unreachable = false;
  sessionTTL = 600_000;
  /** How far the handler's clock is behind this machine's, in ms. */
  behind = 0;
  /** Whether it sends a Date header. */
  dated = true;

  readonly fetch: typeof fetch = async (input, init = {}) => {
    if (this.unreachable) throw new TypeError('Failed to fetch');
    const url = new URL(String(input), 'https://app.example.com');
    const path = url.pathname.replace(/^\/authpipe\//, '');
    const body = init.body ? (JSON.parse(String(init.body)) as Json) : {};
    this.asked.push({ method: init.method ?? 'GET', path, query: url.searchParams, body, init });
    const refusal = this.refuses.get(path);
    if (refusal) return Response.json({ error: { code: refusal.code, message: `${refusal.code}: as the test wants it` } }, refusal);
    return this.#answer(path, url.searchParams);
  };

  #answer(path: string, query: URLSearchParams): Response {
    switch (path) {
      case 'start': {
        const sessionId = `session-${this.sessions.size + 1}`;
        this.sessions.set(sessionId, { status: 'pending' });
        const now = Date.now() - this.behind;
        const expiresAt = Number.isNaN(this.sessionTTL) ? 'soon' : new Date(now + this.sessionTTL).toISOString();
        const answer = { sessionId, authorizationUrl: `https://facebook.example.com/dialog?${sessionId}`, expiresAt };
        return Response.json(answer, this.dated ? { headers: { Date: new Date(now).toUTCString() } } : {});
      }
      case 'status':
        return Response.json({ connection: this.connection });
      case 'session': {
        const session = this.sessions.get(query.get('session_id') ?? '');
        return session ? Response.json(session) : Response.json({ error: { code: 'not_found', message: 'no such session' } }, { status: 404 });
      }
      case 'disconnect':
        this.connection = null;
        return new Response(null, { status: 204 });
    }
    return Response.json({ error: { code: 'not_found', message: 'no such path' } }, { status: 404 });
  }

  /** The number of requests for a path. */
  count(path: string): number {
    return this.asked.filter((each) => each.path === path).length;
  }
}

/** A connection as the handler answers it. */
export function connected(level: Level = 'installation', changes: Partial<Connection> = {}): Json & Connection {
  return {
    provider: 'facebook', for: level, status: 'active', needsReauth: false, scopes: ['pages_show_list'], missingScopes: [],
    connectedAt: '2026-11-23T20:00:00Z', providerUserId: '10001', ...changes,
  };
}
