import { backoff, rest, spread } from './clock.js';
import { AuthpipeError } from './error.js';
import type { VaultResponse } from './transport.js';

/** An event of a connection, a tenant or a provider. */
export interface Event {
  /** The event's id, which increases: a cursor. */
  id: number;
  /** When it happened. */
  at: Date;
  /** The type: `connection.needs_reauth`, `connection.refreshed`, `provider.throttled`, … */
  type: string;
  /** What it is about; empty if that was deleted since. */
  ref: string;
  /** The reason, where there is one. */
  reason?: string;
}

/** Options of `events`. */
export interface EventsOptions {
  /** The id of the last event that you have processed. The default is 0: all that the engine has, its newest 10,000. */
  after?: number | undefined;
  /** Ends the loop. */
  signal?: AbortSignal | undefined;
  /** Receives an error, which does not end the loop: it tries again, at growing intervals. */
  onTrouble?: ((error: AuthpipeError) => void) | undefined;
}

/** Reads a page of events. */
export type ReadEvents = (query: Record<string, string>, signal: AbortSignal) => Promise<VaultResponse<{ events?: (Omit<Event, 'at'> & { at: string })[] }>>;

/** How long to wait after a page that was not full, in ms. */
const pause = 5000;
const pageSize = 1000;

/** follow yields past events, oldest first, and then new ones. */
export async function* follow(read: ReadEvents, options: EventsOptions, shutdown: AbortSignal): AsyncGenerator<Event, void, undefined> {
  const ended = new AbortController();
  const end = () => ended.abort();
  for (const signal of [options.signal, shutdown]) {
    if (signal?.aborted) end();
    signal?.addEventListener('abort', end, { once: true });
  }
  try {
    yield* poll(read, options, ended.signal);
  } finally {
    options.signal?.removeEventListener('abort', end);
    shutdown.removeEventListener('abort', end);
  }
}

async function* poll(read: ReadEvents, options: EventsOptions, ended: AbortSignal): AsyncGenerator<Event, void, undefined> {
  let after = options.after ?? 0;
  for (let failures = 0; !ended.aborted; ) {
    let events: Event[] = [];
    let wait = pause;
    try {
      events = await page(read, after, ended);
      failures = 0;
    } catch (error) {
      if (ended.aborted) {
        return;
      }
      if (!(error instanceof AuthpipeError)) {
        throw error;
      }
      options.onTrouble?.(error);
      wait = backoff(++failures);
    }
    for (const event of events) {
      after = event.id;
      yield event;
    }
    if (events.length < pageSize && !(await rest(spread(wait / 2, wait), ended))) {
      return;
    }
  }
}

async function page(read: ReadEvents, after: number, signal: AbortSignal): Promise<Event[]> {
  const query = { after: String(after), limit: String(pageSize) };
  const { data } = await read(query, signal);
  return (data.events ?? []).map((event) => ({ ...event, at: new Date(event.at) }));
}
