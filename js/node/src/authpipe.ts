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
 * A client of authpipe. It asks the engine, and remembers what it answered; a process needs one for each mount.
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

  /** Nothing is asked before the first question. */
  constructor(options: AuthpipeOptions = {}) {
    setMaxListeners(0, this.#shutdown.signal); // each question that is under way is one
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
   * Returns a credential that works. Once it was asked for it is in memory and answered from there; it is renewed in the
   * background while it is being used. So ask each time, and keep none.
   *
   * Only who asks first, or again after a long time, waits for Vault, and all who wait for the same credential share one question.
   * A token that has ended is never returned, whatever becomes of its renewal.
   *
   * @throws {@link NeedsReauthError} if only the person can help, {@link NotConnectedError} if there is no such credential,
   * {@link AuthpipeError} for everything else.
   */
  async getCredential(request: CredentialRequest, options: AskOptions = {}): Promise<Credential> {
    this.#alive();
    return this.#cache.get(refOf(request), request.credentialFor === 'any', options.signal);
  }

  /**
   * Is for who was told by the provider that a credential is dead, or its proof invalid. It drops the credential from memory, has
   * the engine ask the provider about it, and returns the credential to go on with: a fresh one, or the same if the engine found
   * it alive. If it is dead a {@link NeedsReauthError} is thrown. {@link Authpipe.graph} does all that by itself.
   *
   * It may be called by many at once, and often: a token is checked once a minute at most, and one that was replaced in the
   * meantime is not checked at all. Of a static credential nobody can be asked; it is read anew.
   */
  async reportDead(dead: Credential, options: AskOptions = {}): Promise<Credential> {
    this.#alive();
    const { tenantId: tenant, provider, userId: user, pageId: page, name } = dead;
    return this.#cache.reportDead(new Ref({ tenant, provider, user, page, name }), dead, options.signal);
  }

  /**
   * Has the next who ask for a credential wait for what the engine says then. `ref` is what an {@link Event} or
   * {@link Credential.ref} calls it: a credential, and the pages that are reached through it are forgotten along with it, or a
   * tenant, and all that it has. What is neither is nothing to forget.
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
   * Returns a `fetch` that makes calls of the Graph API in the name of a credential: it adds the token, in the header
   * `Authorization`, and the `appsecret_proof`, in the query; in their place, if they are there. A request to any other origin goes
   * through as it is: no token leaves for it, be it after a redirect or by mistake.
   *
   * Where Facebook answers that the token is dead or the proof invalid, the engine has it checked; then the request is sent once
   * more, if its body can be, and there is another credential to send it with. If not, Facebook's answer stands.
   */
  graph(request: Exclude<CredentialRequest, { credentialFor: 'static' }>, options: GraphOptions = {}): typeof globalThis.fetch {
    return graphFetch({
      get: (signal) => this.getCredential(request, { signal }),
      reportDead: (dead, signal) => this.reportDead(dead, { signal }),
    }, options);
  }

  /** Begins a session on a device, where there is no browser. The provider is asked for a code to show. */
  connect(request: ConnectRequest & { device: true }, options?: AskOptions): Promise<StartedDevice>;
  /** Begins a session. The provider is not asked anything. Send the person's browser to the `authorizationUrl`. */
  connect(request: ConnectRequest, options?: AskOptions): Promise<StartedSession>;
  async connect(request: ConnectRequest & { device?: boolean }, options: AskOptions = {}): Promise<StartedSession | StartedDevice> {
    const { data } = await this.#write<StartedData>(`connect/${exactRefOf(request).text}`, connectBody(request), options.signal);
    return request.device ? new StartedDevice(data) : new StartedSession(data);
  }

  /**
   * Completes a session and returns the connection that it made. Whoever asks this client for the credential gets the new one from
   * then on. It may be repeated with the same proof.
   *
   * @throws {@link AuthpipeError}: `actor_mismatch` if it is somebody else who comes back; `pending` while a person has not
   * approved a device yet; `unavailable` if the provider could not be asked, and the session can still be completed.
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

  /** Reads the state of a session of the tenant's. One of another tenant's is `not_found`. */
  async session(tenantId: string, sessionId: string, options: AskOptions = {}): Promise<Session> {
    const { data } = await this.#get<SessionData>(sessionPath(tenantId, sessionId), options.signal);
    return sessionFrom(data);
  }

  /** Ends an unfinished session. */
  async cancel(tenantId: string, sessionId: string, options: AskOptions = {}): Promise<void> {
    const path = sessionPath(tenantId, sessionId);
    await this.#vault.ask({ op: `deleting ${path}`, method: 'DELETE', path: this.#below(path) }, options.signal);
  }

  /** Reads what is told of a credential to those who may not see it. It comes from the engine each time. */
  async connection(request: ConnectionRequest, options: AskOptions = {}): Promise<Connection> {
    const ref = exactRefOf(request);
    const { data, warnings } = await this.#about(ref, () => this.#get<ConnectionData>(`connections/${ref.text}`, options.signal));
    return connectionOf(data, warnings);
  }

  /** Walks through a tenant's connections. Pages are not among them: they are what the others reach. */
  connections(request: ListRequest, options: AskOptions = {}): AsyncGenerator<ListedConnection, void, undefined> {
    checked('tenantId', request.tenantId, 64, '._-');
    return list((path, query, signal) => this.#get(path, signal, query), request, options.signal);
  }

  /**
   * Revokes a credential at the provider and forgets it, with what stands under it. It returns what the engine warns of: that the
   * provider was not told, say, because another credential holds the same account.
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
   * Yields what happened after an event, oldest first, and then what happens, as it does: a few seconds late, for it asks. It goes
   * on until the loop breaks or `signal` is aborted. Keep the last id to go on from it another day; connections are the truth and
   * events a hint. To follow them keeps this client fresh, too:
   *
   * ```js
   * for await (const event of authpipe.events({ after: last })) {
   *   if (event.type !== 'connection.refreshed') authpipe.forget(event.ref); // what was renewed is good still
   * }
   * ```
   */
  events(options: EventsOptions = {}): AsyncGenerator<Event, void, undefined> {
    return follow((query, signal) => this.#get('events', signal, query), options, this.#shutdown.signal);
  }

  /**
   * Hands a webhook's delivery to the engine, which verifies it: the body as it came, and its `X-Hub-Signature-256`. It returns how
   * many credentials were marked by it. What does not verify is `invalid_request`.
   */
  async notify(provider: string, body: Uint8Array, signature: string, options: AskOptions = {}): Promise<number> {
    const path = `webhooks/${checked('provider', provider, 32, '_-')}/notify`;
    const payload = Buffer.from(body).toString('base64');
    const { data } = await this.#write<{ marked?: number }>(path, { payload, signature }, options.signal);
    return data.marked ?? 0;
  }

  /**
   * Returns what serves the browser's side of connecting people, and the provider's webhooks, as a Web-standard function. For
   * Node's `http` and for Express put it into `toNodeHandler`.
   */
  handler(options: HandlerOptions): (request: Request) => Promise<Response> {
    return handle(this, options);
  }

  /**
   * Forgets all credentials, ends what the client does by itself, and revokes the token of Vault that it has logged in for. Every
   * method throws `closed` from then on. It may be repeated.
   */
  async close(): Promise<void> {
    this.#cache.close();
    this.#shutdown.abort();
    await this.#login.leave();
  }

  /** What `console.log` shows: its memory is full of tokens. */
  [inspect](): string {
    return `Authpipe { mount: '${this.#mount}' }`;
  }

  /** Nothing. */
  toJSON(): Record<string, unknown> {
    return { mount: this.#mount };
  }

  async #read(ref: Ref, background: boolean) {
    const path = `creds/${ref.text}`;
    const op = `reading ${path}`;
    const asked = Date.now();
    const request = { op, method: 'GET', path: this.#below(path), retries: background ? 0 : 2 } as const;
    const { data, warnings, at } = await this.#about(ref, () => this.#vault.ask<CredentialData>(request));
    // Where a proxy took the date away, go by the own clock.
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

  /** about gives an error about a credential the type that its code has. */
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
