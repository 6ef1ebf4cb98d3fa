import { follow } from './attempt.js';
import { Callbacks } from './callbacks.js';
import type { Connection, Level } from './connection.js';
import { AuthpipeError } from './failure.js';
import type { Outcome } from './message.js';
import { here } from './here.js';
import { openPopup, popupPrefix } from './popup.js';
import { watchPresence } from './presence.js';
import type { ConnectOptions as StartOptions, Server, Started } from './server.js';
import { type Ended, type Snapshot, stateOf, unknown } from './state.js';
import { dropTicket, findTicket, keepTicket, type Ticket } from './ticket.js';

export interface ConnectOptions extends StartOptions {
  /** Default `popup`; this tab is used where the browser opens no window. */
  display?: 'popup' | 'tab' | undefined;
}

/** What a store is about, and what it does by others. */
export interface StoreOptions {
  server: Server;
  provider: string;
  level: Level;
  /** Takes this tab to the provider. */
  leave(url: string): void;
  /** The connection was made or ended, by this page. */
  changed(): void;
}

/** What is known of one connection, for all components that show it. */
export class ConnectionStore {
  readonly #server: Server;
  readonly #options: StoreOptions;
  readonly #provider: string;
  readonly #level: Level;
  readonly #listeners = new Set<() => void>();
  readonly #callbacks = new Callbacks<Ended>();
  #leaveAlone: (() => void) | undefined;
  #snapshot: Snapshot = unknown;
  #loaded = false;
  #loading: Promise<void> | undefined;
  #popup: Window | undefined;
  #stop: (() => void) | undefined;
  /** The attempt that is under way, once it has begun. */
  #ticket: Ticket | undefined;
  /** Whether it was begun before this page was loaded, or anew for another person: by whom, nobody can say. */
  #inherited = false;
  /** Counts the attempts and their ends, so that what belongs to an older one changes nothing. */
  #turn = 0;
  /** Counts the looks at the connection; and the newest of them that was answered, or that what this page did has overtaken. */
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

  /** Calls back at the end of each attempt. */
  readonly onEnd = (callback: (ended: Ended) => void): (() => void) => this.#callbacks.add(callback);

  /** Connects, or connects again. Call it while a click is being handled, or there will be no window. Resolves when the person is on their way. */
  readonly connect = async (options: ConnectOptions = {}): Promise<void> => {
    // One by one: what is given may be more, a click's event for instance.
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

  /** Goes back to the window that is open, where there is one. */
  readonly focus = (): void => {
    if (this.#popup && !this.#popup.closed) this.#popup.focus();
  };

  /** Gives up waiting, and closes the window. */
  readonly cancel = (): void => {
    if (this.#snapshot.state === 'waiting') this.#end({ outcome: 'cancelled' });
  };

  /** Takes the grant back at the provider and forgets the credential. Rejects with an AuthpipeError. */
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

  /** Asks how the connection is. It is asked by itself, too, when the person comes back to this page. */
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
      // What is shown stays as it was; only where nothing is known yet there is something to say.
      const { state, last } = this.#snapshot;
      if (!this.#loaded && last === null && state !== 'waiting') this.#show({ state: 'failed', error: asError(error) });
    }
  };

  /** Something has happened elsewhere that this connection depends on: it is asked for, now or when it is shown next. */
  outdate(): void {
    this.#lastLook = 0;
    if (this.#listeners.size > 0) void this.refresh();
  }

  #attach(): void {
    this.#leaveAlone = watchPresence(this.#look, this.#restored);
    if (!this.#stop) this.#resume();
    if (!this.#loaded || this.#isOld()) this.#loading ??= this.refresh().finally(() => (this.#loading = undefined));
  }

  /** With nobody there to be told, nothing is followed: an attempt is taken up again when somebody is, and told of then. */
  #detach(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#leaveAlone?.();
  }

  readonly #look = (): void => {
    if (this.#snapshot.state !== 'waiting' && this.#isOld()) void this.refresh();
  };

  #isOld(): boolean {
    return Date.now() - this.#lastLook > restless;
  }

  /** A page that comes back whole from the browser's memory still waits for what has happened meanwhile. */
  readonly #restored = (): void => {
    if (this.#snapshot.state === 'waiting' && !this.#popup) this.#resume();
  };

  /** Takes up an attempt that was under way when the page was loaded, or when the last component that showed it went. */
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
        this.#tell({ outcome: 'cancelled' });
      },
      settled: (outcome) => void this.#arrive(outcome),
    });
  }

  async #arrive(outcome: Outcome): Promise<void> {
    this.#stop = undefined;
    if (outcome.outcome === 'connected') {
      const turn = this.#turn;
      const ended = await this.#whole(outcome.connection);
      if (turn === this.#turn && this.#listeners.size > 0) this.#end(ended);
      return;
    }
    const code = outcome.outcome === 'failed' ? outcome.error.code : '';
    // Who is signed in now did not begin it, and has nothing to do with how it ends.
    if (code === 'not_found' && this.#inherited) return this.#lose();
    // Who closed the window is not told again when the session's time is over; but what they did in it all the same is something else.
    if (this.#snapshot.last !== 'cancelled' || !['', 'session_expired'].includes(code)) this.#end(outcome);
  }

  /** Ends an attempt that is not this person's, without a word. */
  #lose(): void {
    this.#turn++;
    this.#drop();
    this.#show({ ...stateOf(this.#snapshot.connection, null), last: null, error: null });
  }

  /** The end that a connection is, which is asked for where it did not come along. */
  async #whole(told: Connection | null): Promise<Ended> {
    const connection = told ?? (await this.#server.status(this.#provider, this.#level).catch(() => null));
    if (connection) return { outcome: 'connected', connection };
    return { outcome: 'failed', error: new AuthpipeError('unavailable', 'it was connected, and cannot be read at the moment') };
  }

  /** Ends the attempt, and all that belongs to it. */
  #end(ended: Ended): void {
    this.#drop();
    this.#tell(ended);
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

  #tell(ended: Ended): void {
    this.#turn++;
    const last = ended.outcome;
    const connection = last === 'connected' ? ended.connection : this.#snapshot.connection;
    this.#show({ ...stateOf(connection, last), last, error: last === 'failed' ? ended.error : null });
    if (last === 'connected') {
      this.#loaded = true;
      this.#seen = ++this.#looks;
      this.#options.changed();
    }
    this.#callbacks.tell(ended);
  }

  #show(change: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of [...this.#listeners]) listener();
  }
}

/** How long, in milliseconds, what is known is good enough for who comes back to the page. */
const restless = 5000;

const asError = (error: unknown): AuthpipeError =>
  error instanceof AuthpipeError ? error : new AuthpipeError('failed', String(error));
