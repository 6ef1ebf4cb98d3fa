import { setMaxListeners } from 'node:events';

import { lifeLeft } from './answer.js';
import { Cache } from './cache.js';
import { connectionOf, type Connection, type ConnectionData, type ListedConnection } from './connection.js';
import { flaw, instant, type Credential, type CredentialData } from './credential.js';
import { AuthpipeError, NeedsReauthError, NotConnectedError, needsReauth } from './error.js';
import { follow, type Event, type EventsOptions } from './events.js';
import { graphFetch, type GraphOptions } from './graph.js';
import { handle } from './handler.js';
import type { HandlerOptions } from './handler-options.js';
import { list, type ListRequest } from './list.js';
import { Login } from './login.js';
import { settingsOf, type AskOptions, type AuthpipeOptions, type DisconnectOptions } from './options.js';
import { inspect } from './redact.js';
import { checked, exactRefOf, goesWith, parseRef, Ref, refOf } from './ref.js';
import type { ConnectionRequest, CredentialRequest } from './request.js';
import {
  completionBody, connectBody, sessionFrom, sessionOf, sessionPath, StartedDevice, StartedSession,
  type CompleteRequest, type ConnectRequest, type Session, type SessionData, type StartedData,
} from './session.js';
import { Vault } from './vault.js';
import { HttpTransport } from './transport.js';

/**
 * A client of authpipe. It reads credentials from the engine and caches them; a process needs one for each mount.
 *
 * ```js
 * const authpipe = new Authpipe({ vaultAddr: 'https://vault.example.com', auth: { method: 'kubernetes', role: 'app' } });
 * const { credential } = await authpipe.getCredential({ tenantId: 'org_acme', credentialFor: 'installation' });
 * ```
 */
export class Authpipe {
  readonly #mount: string;
  readonly #vault: Vault;
  readonly #login: Login;
  readonly #cache: Cache;
  readonly #shutdown = new AbortController();

  /** Sends nothing before the first request. */
  constructor(options: AuthpipeOptions = {}) {
    setMaxListeners(0, this.#shutdown.signal); // each request that is under way listens to it
    const settings = settingsOf(options);
    const { mount, trouble } = settings;
    const shutdown = this.#shutdown.signal;
    const transport = new HttpTransport(settings);
    this.#mount = mount;
    this.#login = new Login({ ...settings, transport, shutdown });
    this.#vault = new Vault({ ...settings, transport, tokens: this.#login, shutdown });
    this.#cache = new Cache({
      ...settings,
      trouble: (error, ref) => trouble(error, ref.text),
      read: (ref, background) => this.#read(ref, background),
      check: async (ref) => {
        await this.#about(ref, () => this.#write(`connections/${ref.text}/check`, {}));
      },
    });
  }

  /**
   * Returns a credential that works. After the first read it comes from memory, and is renewed in the background while it is in
   * use. So ask each time, and store none.
   *
   * Only the first caller, or one after a long time, waits for Vault, and all that wait for the same credential share one call. A
   * token that has ended is never returned, even if it cannot be renewed.
   *
   * @throws {@link NeedsReauthError} if only the person can help, {@link NotConnectedError} if there is no such credential, {@link
   * AuthpipeError} for everything else.
   */
  async getCredential(request: CredentialRequest, options: AskOptions = {}): Promise<Credential> {
    this.#alive();
    return this.#cache.get(refOf(request), request.credentialFor === 'any', options.signal);
  }

  /**
   * Reports a credential that the provider calls dead, or whose proof it calls invalid. It drops the credential from memory, has
   * the engine check it with the provider, and returns the credential to go on with: a fresh one, or the same if the engine found
   * it alive. It throws a {@link NeedsReauthError} if the credential is dead. {@link Authpipe.graph} does all that by itself.
   *
   * Many callers may call it, and often: a token is checked once a minute at most, and one that was replaced in the meantime is not
   * checked. No provider can check a static credential; it is read again.
   */
  async reportDead(dead: Credential, options: AskOptions = {}): Promise<Credential> {
    this.#alive();
    const { tenantId: tenant, provider, userId: user, pageId: page, name } = dead;
    return this.#cache.reportDead(new Ref({ tenant, provider, user, page, name }), dead, options.signal);
  }

  /**
   * Makes the next callers that ask for a credential wait for a new answer of the engine. `ref` is that of an {@link Event} or
   * {@link Credential.ref}: a credential, which is dropped with the pages that are reached through it, or a tenant, with all that
   * it has. It ignores anything else.
   */
  forget(ref: string): void {
    const known = parseRef(ref);
    if (known) {
      this.#cache.forget(known);
    } else if (!ref.includes('/')) {
      this.#cache.forget(({ tenant }) => tenant === ref);
    }
  }

  /**
   * Returns a `fetch` that calls the Graph API with a credential: it adds or replaces the token, in the header `Authorization`, and
   * the `appsecret_proof`, in the query. It sends a request to any other origin unchanged, so no token gets there, by a redirect or
   * by mistake.
   *
   * If Facebook answers that the token is dead or the proof invalid, the engine checks it. Then the request is sent once more, if
   * its body can be and there is another credential. Otherwise it returns Facebook's answer.
   */
  graph(request: Exclude<CredentialRequest, { credentialFor: 'static' }>, options: GraphOptions = {}): typeof globalThis.fetch {
    return graphFetch({
      get: (signal) => this.getCredential(request, { signal }),
      reportDead: (dead, signal) => this.reportDead(dead, { signal }),
    }, options);
  }

  /** Begins a session on a device without a browser. The engine asks the provider for a code to show. */
  connect(request: ConnectRequest & { device: true }, options?: AskOptions): Promise<StartedDevice>;
  /** Begins a session, without a request to the provider. Send the person's browser to the `authorizationUrl`. */
  connect(request: ConnectRequest, options?: AskOptions): Promise<StartedSession>;
  async connect(request: ConnectRequest & { device?: boolean }, options: AskOptions = {}): Promise<StartedSession | StartedDevice> {
    const { data } = await this.#write<StartedData>(`connect/${exactRefOf(request).text}`, connectBody(request), options.signal);
    return request.device ? new StartedDevice(data) : new StartedSession(data);
  }

  /**
   * Completes a session and returns the new connection. From then on this client's callers get the new credential. It may be
   * repeated with the same proof.
   *
   * @throws {@link AuthpipeError}: `actor_mismatch` if another person comes back; `pending` while a person has not approved a
   * device yet; `unavailable` if the provider could not be asked, and the session can still be completed.
   */
  async complete(request: CompleteRequest, options: AskOptions = {}): Promise<Connection> {
    const id = 'answer' in request ? sessionOf(request.answer.get('state') ?? '') : request.sessionId;
    const path = `${sessionPath(request.tenantId, id)}/complete`;
    const { data, warnings } = await this.#write<ConnectionData>(path, completionBody(request), options.signal);
    if (typeof data.ref !== 'string') {
      throw new AuthpipeError({ op: `writing ${path}`, code: 'unavailable', status: 200, message: 'the answer cannot be read' });
    }
    this.forget(data.ref);
    return connectionOf(data, warnings);
  }

  /** Reads the state of a session of the tenant. For another tenant's it throws `not_found`. */
  async session(tenantId: string, sessionId: string, options: AskOptions = {}): Promise<Session> {
    const { data } = await this.#get<SessionData>(sessionPath(tenantId, sessionId), options.signal);
    return sessionFrom(data);
  }

  /** Ends an unfinished session. */
  async cancel(tenantId: string, sessionId: string, options: AskOptions = {}): Promise<void> {
    const path = sessionPath(tenantId, sessionId);
    await this.#vault.ask({ op: `deleting ${path}`, method: 'DELETE', path: this.#below(path) }, options.signal);
  }

  /** Reads a credential's state, without the credential. It is not cached. */
  async connection(request: ConnectionRequest, options: AskOptions = {}): Promise<Connection> {
    const ref = exactRefOf(request);
    const { data, warnings } = await this.#about(ref, () => this.#get<ConnectionData>(`connections/${ref.text}`, options.signal));
    return connectionOf(data, warnings);
  }

  /** Lists a tenant's connections. Pages are not among them: they are reached through the others. */
  connections(request: ListRequest, options: AskOptions = {}): AsyncGenerator<ListedConnection, void, undefined> {
    checked('tenantId', request.tenantId, 64, '._-');
    return list((path, query, signal) => this.#get(path, signal, query), request, options.signal);
  }

  /**
   * Revokes a credential at the provider and deletes it, with everything under it. It returns the engine's warnings, such as that
   * nothing was revoked because another credential has the same account.
   */
  async disconnect(request: ConnectionRequest, options: DisconnectOptions = {}): Promise<string[]> {
    const ref = exactRefOf(request);
    const path = `creds/${ref.text}`;
    const query = { ...(options.force ? { force: 'true' } : {}), ...(options.revoke === false ? { revoke: 'false' } : {}) };
    const deletion = { op: `deleting ${path}`, method: 'DELETE', path: this.#below(path), query } as const;
    try {
      return (await this.#about(ref, () => this.#vault.ask(deletion, options.signal))).warnings;
    } finally {
      this.#cache.forget((other) => goesWith(other, ref));
    }
  }

  /**
   * Yields the events after `after`, oldest first, and then new ones within seconds, by polling. It goes on until the loop breaks
   * or `signal` is aborted. Store the last id to continue from it. Connections are the truth and events a hint. Following them
   * keeps this client's cache fresh, too:
   *
   * ```js
   * for await (const event of authpipe.events({ after: last })) {
   *   if (event.type !== 'connection.refreshed') authpipe.forget(event.ref); // a refresh outdates nothing
   * }
   * ```
   */
  events(options: EventsOptions = {}): AsyncGenerator<Event, void, undefined> {
    return follow((query, signal) => this.#get('events', signal, query), options, this.#shutdown.signal);
  }

  /**
   * Hands a webhook delivery to the engine, which verifies it: the raw body and its `X-Hub-Signature-256`. It returns how many
   * credentials the delivery has marked. An invalid signature is `invalid_request`.
   */
  async notify(provider: string, body: Uint8Array, signature: string, options: AskOptions = {}): Promise<number> {
    const path = `webhooks/${checked('provider', provider, 32, '_-')}/notify`;
    const payload = Buffer.from(body).toString('base64');
    const { data } = await this.#write<{ marked?: number }>(path, { payload, signature }, options.signal);
    return data.marked ?? 0;
  }

  /**
   * Returns a Web-standard function that serves the browser's side of connecting, and the provider's webhooks. For Node's `http`
   * and for Express wrap it in `toNodeHandler`.
   */
  handler(options: HandlerOptions): (request: Request) => Promise<Response> {
    return handle(this, options);
  }

  /**
   * Drops all credentials, ends all background work, and revokes the Vault token that the client has logged in for. From then on
   * every method throws `closed`. It may be repeated.
   */
  async close(): Promise<void> {
    this.#cache.close();
    this.#shutdown.abort();
    await this.#login.leave();
  }

  /** What `console.log` shows. The client's memory is full of tokens. */
  [inspect](): string {
    return `Authpipe { mount: '${this.#mount}' }`;
  }

  /** The mount, and no credential. */
  toJSON(): Record<string, unknown> {
    return { mount: this.#mount };
  }

  async #read(ref: Ref, background: boolean) {
    const path = `creds/${ref.text}`;
    const op = `reading ${path}`;
    const asked = Date.now();
    const request = { op, method: 'GET', path: this.#below(path), retries: background ? 0 : 2 } as const;
    const { data, warnings, at } = await this.#about(ref, () => this.#vault.ask<CredentialData>(request));
    // Without a date, which a proxy may have removed, go by the own clock.
    const left = lifeLeft(instant(data.expires_at), at ?? asked);
    const wrong = flaw(ref, data) ?? (left <= 0 ? 'the token has expired' : undefined);
    if (wrong) {
      throw new AuthpipeError({ op, code: 'unavailable', status: 200, message: wrong });
    }
    return { data, warnings, left };
  }

  #get<T>(path: string, signal?: AbortSignal, query?: Record<string, string>) {
    return this.#vault.ask<T>({ op: `reading ${path}`, method: 'GET', path: this.#below(path), query }, signal);
  }

  #write<T>(path: string, body: unknown, signal?: AbortSignal) {
    return this.#vault.ask<T>({ op: `writing ${path}`, method: 'POST', path: this.#below(path), body }, signal);
  }

  #below(path: string): string {
    return `${this.#mount}/${path}`;
  }

  /** about gives an error about a credential the class for its code. */
  async #about<T>(ref: Ref, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw error instanceof AuthpipeError ? typed(ref, error) : error;
    }
  }

  #alive(): void {
    if (this.#shutdown.signal.aborted) {
      throw new AuthpipeError({ op: 'reading a credential', code: 'closed', message: 'the client is closed' });
    }
  }
}

function typed(ref: Ref, error: AuthpipeError): AuthpipeError {
  const { op, code, status, detail: message } = error;
  const parts = { op, code, status, message, ref: ref.text };
  if (needsReauth(code)) {
    return new NeedsReauthError({ ...parts, connectPath: `connect/${ref.above.text}` });
  }
  return code === 'not_found' ? new NotConnectedError({ ...parts, connectPath: ref.connectPath }) : error;
}
