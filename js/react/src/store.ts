import { follow } from './attempt.js';
import type { Connection, Level } from './connection.js';
import { AuthpipeError } from './failure.js';
import type { Outcome } from './message.js';
import { openPopup, popupPrefix } from './popup.js';
import type { ConnectOptions as StartOptions, Server, Started } from './server.js';
import { type Ended, type Snapshot, stateOf, unknown } from './state.js';
import { dropTicket, findTicket, keepTicket, type Ticket } from './ticket.js';

export interface ConnectOptions extends StartOptions {
  /** Default `popup`; this tab is used where the browser opens no window. */
  display?: 'popup' | 'tab';
}

/** What is known of one connection, for all components that show it. */
export class ConnectionStore {
  readonly #server: Server;
  readonly #leave: (url: string) => void;
  readonly #provider: string;
  readonly #level: Level;
  readonly #listeners = new Set<() => void>();
  readonly #callbacks = new Set<(ended: Ended) => void>();
  #snapshot: Snapshot = unknown;
  #loaded = false;
  #loading: Promise<void> | undefined;
  #popup: Window | undefined;
  #stop: (() => void) | undefined;
  /** Counts what decides the state, so that an answer to something older does not. */
  #turn = 0;
  #lastLook = 0;

  constructor(server: Server, provider: string, level: Level, leave: (url: string) => void) {
    this.#server = server;
    this.#provider = provider;
    this.#level = level;
    this.#leave = leave;
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
  readonly onEnd = (callback: (ended: Ended) => void): (() => void) => {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  };

  /** Connects, or connects again. Call it while a click is being handled, or there will be no window. Resolves when the person is on their way. */
  readonly connect = async (options: ConnectOptions = {}): Promise<void> => {
    const { display = 'popup', ...rest } = options;
    const open = this.#popup;
    if (open && !open.closed && this.#snapshot.state === 'waiting') return open.focus();
    this.#stop?.();
    const turn = ++this.#turn;
    this.#popup = display === 'popup' ? openPopup(`${popupPrefix}${this.#provider}:${this.#level}`) : undefined;
    this.#show({ state: 'waiting', last: null, error: null });
    try {
      const here = window.location.pathname + window.location.search + window.location.hash;
      const started = await this.#server.start(this.#provider, this.#level, { returnTo: here, ...rest });
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
      this.#drop();
      this.#show({ ...stateOf(null, null), last: null, error: null });
    } finally {
      this.#show({ disconnecting: false });
    }
  };

  /** Asks how the connection is. It is asked by itself, too, when the person comes back to this page. */
  readonly refresh = async (): Promise<void> => {
    const turn = this.#turn;
    this.#lastLook = Date.now();
    try {
      const connection = await this.#server.status(this.#provider, this.#level);
      this.#loaded = true;
      if (turn !== this.#turn) return;
      const { state, last, error } = this.#snapshot;
      this.#show(state === 'waiting' ? { connection } : { ...stateOf(connection, last), error: last === 'failed' ? error : null });
    } catch (error) {
      // What is shown stays as it was; only where nothing is known yet there is something to say.
      if (turn === this.#turn && !this.#loaded && this.#snapshot.state !== 'waiting') this.#show({ state: 'failed', error: asError(error) });
    }
  };

  #attach(): void {
    window.addEventListener('focus', this.#look);
    document.addEventListener('visibilitychange', this.#look);
    window.addEventListener('pageshow', this.#restored);
    if (!this.#stop) this.#resume();
    if (!this.#loaded) this.#loading ??= this.refresh().finally(() => (this.#loading = undefined));
  }

  #detach(): void {
    window.removeEventListener('focus', this.#look);
    document.removeEventListener('visibilitychange', this.#look);
    window.removeEventListener('pageshow', this.#restored);
  }

  readonly #look = (): void => {
    const seen = document.visibilityState === 'visible' && this.#snapshot.state !== 'waiting';
    if (seen && Date.now() - this.#lastLook > restless) void this.refresh();
  };

  /** A page that comes back whole from the browser's memory still waits for what has happened meanwhile. */
  readonly #restored = (event: PageTransitionEvent): void => {
    if (event.persisted && this.#snapshot.state === 'waiting' && !this.#popup) this.#resume();
  };

  /** Takes up an attempt that was under way when the page was loaded. */
  #resume(): void {
    const ticket = findTicket(this.#provider, this.#level);
    if (!ticket) return;
    this.#turn++;
    this.#show({ state: 'waiting' });
    this.#follow(ticket);
  }

  #go({ sessionId, expiresAt, authorizationUrl }: Started): void {
    const ticket: Ticket = { sessionId, expiresAt, display: this.#popup ? 'popup' : 'tab' };
    keepTicket(this.#provider, this.#level, ticket);
    if (!this.#popup) return this.#leave(authorizationUrl);
    this.#popup.location.replace(authorizationUrl);
    this.#follow(ticket);
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
        dropTicket(this.#provider, this.#level);
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
      if (turn === this.#turn) this.#end(ended);
      return;
    }
    // Who closed the window is not told again when the session's time is over.
    if (this.#snapshot.last !== 'cancelled') this.#end(outcome);
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
    this.#stop?.();
    this.#stop = undefined;
    dropTicket(this.#provider, this.#level);
    this.#popup?.close();
    this.#popup = undefined;
  }

  #tell(ended: Ended): void {
    this.#turn++;
    this.#loaded ||= ended.outcome === 'connected';
    const last = ended.outcome;
    const connection = last === 'connected' ? ended.connection : this.#snapshot.connection;
    this.#show({ ...stateOf(connection, last), last, error: last === 'failed' ? ended.error : null });
    for (const callback of [...this.#callbacks]) callback(ended);
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
