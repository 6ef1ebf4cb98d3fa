import { follow, type Sessions } from './attempt.js';
import { Callbacks } from './callbacks.js';
import type { Connection, Level } from './connection.js';
import { AuthpipeError } from './failure.js';
import type { Outcome } from './message.js';
import { here } from './here.js';
import { openPopup, popupPrefix } from './popup.js';
import { watchPresence } from './presence.js';
import type { ConnectOptions as StartOptions, Started } from './server.js';
import { type Ended, type Snapshot, stateOf, unknown } from './state.js';
import { dropTicket, findTicket, keepTicket, type Ticket } from './ticket.js';

export interface ConnectOptions extends StartOptions {
  /** The default is `popup`. If the browser opens no window, this tab is used. */
  display?: 'popup' | 'tab' | undefined;
}

/** What a store needs of the server. */
export interface ConnectionServer extends Sessions {
  start(provider: string, level: Level, options: StartOptions): Promise<Started>;
  status(provider: string, level: Level): Promise<Connection | null>;
  disconnect(provider: string, level: Level): Promise<void>;
}

/** Options of a store. */
export interface StoreOptions {
  server: ConnectionServer;
  provider: string;
  level: Level;
  /** Takes this tab to the provider. */
  leave(url: string): void;
  /** Called when this page has made or ended the connection. */
  changed(): void;
}

/** The state of one connection, for all components that show it. */
export class ConnectionStore {
  readonly #server: ConnectionServer;
  readonly #options: StoreOptions;
  readonly #provider: string;
  readonly #level: Level;
  readonly #listeners = new Set<() => void>();
  readonly #callbacks = new Callbacks<Ended>();
  #unwatch: (() => void) | undefined;
  #snapshot: Snapshot = unknown;
  #loaded = false;
  #loading: Promise<void> | undefined;
  #popup: Window | undefined;
  #stop: (() => void) | undefined;
  /** The attempt that is under way, once its session has begun. */
  #ticket: Ticket | undefined;
  /** Whether it began before this page was loaded, perhaps for another person. */
  #inherited = false;
  /** Counts the attempts and their ends, so that results of an older attempt are ignored. */
  #turn = 0;
  /**
   * Counts the requests for the connection, and the newest of them that was answered or that an action of this page has outdated.
   */
  #looks = 0;
  #seen = 0;
  #lastLook = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#server = options.server;
    this.#provider = options.provider;
    this.#level = options.level;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#attach();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#detach();
    };
  };

  readonly read = (): Snapshot => this.#snapshot;
  readonly readOnServer = (): Snapshot => unknown;

  /** Adds a callback for the end of each attempt. */
  readonly onEnd = (callback: (ended: Ended) => void): (() => void) => this.#callbacks.add(callback);

  /**
   * Connects, or connects again. Call it while a click is being handled, or no window opens. Resolves when the person is on the way
   * to the provider.
   */
  readonly connect = async (options: ConnectOptions = {}): Promise<void> => {
    // Field by field: the argument may be a click's event.
    const { display = 'popup', scopes, reauthorize, returnTo = here() } = options;
    const open = this.#popup;
    if (open && !open.closed && this.#snapshot.state === 'waiting') return open.focus();
    this.#forget();
    const turn = ++this.#turn;
    this.#popup = display === 'popup' ? openPopup(`${popupPrefix}${this.#provider}:${this.#level}`) : undefined;
    this.#show({ state: 'waiting', last: null, error: null });
    try {
      const started = await this.#server.start(this.#provider, this.#level, { returnTo, scopes, reauthorize });
      if (turn === this.#turn) this.#go(started);
    } catch (error) {
      if (turn === this.#turn) this.#end({ outcome: 'failed', error: asError(error) });
    }
  };

  /** Brings the open window to the front, if there is one. */
  readonly focus = (): void => {
    if (this.#popup && !this.#popup.closed) this.#popup.focus();
  };

  /** Stops waiting, and closes the window. */
  readonly cancel = (): void => {
    if (this.#snapshot.state === 'waiting') this.#end({ outcome: 'cancelled' });
  };

  /** Revokes the grant at the provider and deletes the credential. Rejects with an AuthpipeError. */
  readonly disconnect = async (): Promise<void> => {
    this.#show({ disconnecting: true });
    try {
      await this.#server.disconnect(this.#provider, this.#level);
      this.#turn++;
      this.#seen = ++this.#looks;
      this.#drop();
      this.#show({ ...stateOf(null, null), last: null, error: null });
      this.#options.changed();
    } finally {
      this.#show({ disconnecting: false });
    }
  };

  /** Reads the connection. This happens by itself when the person comes back to this page. */
  readonly refresh = async (): Promise<void> => {
    const look = ++this.#looks;
    this.#lastLook = Date.now();
    try {
      const connection = await this.#server.status(this.#provider, this.#level);
      this.#loaded = true;
      if (look < this.#seen) return;
      this.#seen = look;
      const { state, last, error } = this.#snapshot;
      this.#show(state === 'waiting' ? { connection } : { ...stateOf(connection, last), error: last === 'failed' ? error : null });
    } catch (error) {
      // A failed read changes nothing, unless nothing was read before.
      const { state, last } = this.#snapshot;
      if (!this.#loaded && last === null && state !== 'waiting') this.#show({ state: 'failed', error: asError(error) });
    }
  };

  /** Marks the connection as outdated by a change elsewhere. It is read now, or when it is shown next. */
  outdate(): void {
    this.#lastLook = 0;
    if (this.#listeners.size > 0) void this.refresh();
  }

  #attach(): void {
    this.#unwatch = watchPresence(this.#look, this.#restored);
    if (!this.#stop) this.#resume();
    if (!this.#loaded || this.#isOld()) this.#loading ??= this.refresh().finally(() => (this.#loading = undefined));
  }

  /** Without listeners no attempt is followed. It is resumed with the next listener, which then receives its end. */
  #detach(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#unwatch?.();
  }

  readonly #look = (): void => {
    if (this.#snapshot.state !== 'waiting' && this.#isOld()) void this.refresh();
  };

  #isOld(): boolean {
    return Date.now() - this.#lastLook > restless;
  }

  /** A page that is restored from the browser's cache resumes the attempt that it was waiting for. */
  readonly #restored = (): void => {
    if (this.#snapshot.state === 'waiting' && !this.#popup) this.#resume();
  };

  /** Resumes an attempt that was under way when the page was loaded, or when the last component that showed it was removed. */
  #resume(): void {
    const inherited = this.#ticket ? undefined : findTicket(this.#provider, this.#level);
    this.#ticket ??= inherited;
    if (!this.#ticket) return;
    this.#inherited ||= inherited !== undefined;
    this.#turn++;
    this.#show({ state: 'waiting', last: null, error: null });
    this.#follow(this.#ticket);
  }

  #go({ sessionId, expiresAt, authorizationUrl }: Started): void {
    const ticket: Ticket = { sessionId, expiresAt, display: this.#popup ? 'popup' : 'tab' };
    this.#ticket = ticket;
    keepTicket(this.#provider, this.#level, ticket);
    if (!this.#popup) return this.#options.leave(authorizationUrl);
    this.#popup.location.replace(authorizationUrl);
    if (this.#listeners.size > 0) this.#follow(ticket);
  }

  #follow(ticket: Ticket): void {
    this.#stop?.();
    this.#stop = follow({
      server: this.#server,
      provider: this.#provider,
      level: this.#level,
      ticket,
      popup: this.#popup,
      abandoned: () => {
        this.#dropTicket();
        this.#settle({ outcome: 'cancelled' });
      },
      settled: (outcome) => void this.#settled(outcome),
    });
  }

  async #settled(outcome: Outcome): Promise<void> {
    this.#stop = undefined;
    if (outcome.outcome === 'connected') {
      const turn = this.#turn;
      const ended = await this.#endOf(outcome.connection);
      if (turn === this.#turn && this.#listeners.size > 0) this.#end(ended);
      return;
    }
    const code = outcome.outcome === 'failed' ? outcome.error.code : '';
    // The person who is signed in now did not begin it, and must not see how it ends.
    if (code === 'not_found' && this.#inherited) return this.#lose();
    // A person who closed the window has seen `cancelled`, and sees no `session_expired` later. Any other end is new to them.
    if (this.#snapshot.last !== 'cancelled' || !['', 'session_expired'].includes(code)) this.#end(outcome);
  }

  /** Ends an attempt that is not this person's, without calling the callbacks. */
  #lose(): void {
    this.#turn++;
    this.#drop();
    this.#show({ ...stateOf(this.#snapshot.connection, null), last: null, error: null });
  }

  /** Returns the end of an attempt that succeeded. It reads the connection if the message had none. */
  async #endOf(received: Connection | null): Promise<Ended> {
    const connection = received ?? (await this.#server.status(this.#provider, this.#level).catch(() => null));
    if (connection) return { outcome: 'connected', connection };
    return { outcome: 'failed', error: new AuthpipeError('unavailable', 'it was connected, and cannot be read at the moment') };
  }

  /** Ends the attempt, and calls the callbacks. */
  #end(ended: Ended): void {
    this.#drop();
    this.#settle(ended);
  }

  #drop(): void {
    this.#forget();
    this.#popup?.close();
    this.#popup = undefined;
  }

  #forget(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#dropTicket();
  }

  #dropTicket(): void {
    this.#ticket = undefined;
    this.#inherited = false;
    dropTicket(this.#provider, this.#level);
  }

  #settle(ended: Ended): void {
    this.#turn++;
    const last = ended.outcome;
    const connection = last === 'connected' ? ended.connection : this.#snapshot.connection;
    this.#show({ ...stateOf(connection, last), last, error: last === 'failed' ? ended.error : null });
    if (last === 'connected') {
      this.#loaded = true;
      this.#seen = ++this.#looks;
      this.#options.changed();
    }
    this.#callbacks.call(ended);
  }

  #show(change: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of [...this.#listeners]) listener();
  }
}

/** How old the state may be when the person comes back to the page, in ms. */
const restless = 5000;

const asError = (error: unknown): AuthpipeError =>
  error instanceof AuthpipeError ? error : new AuthpipeError('failed', String(error));
