import { type Connection, connectionOf, type Level } from './connection.js';
import { AuthpipeError, errorOf } from './failure.js';

/** How an attempt to connect ended. */
export type Outcome =
  | { outcome: 'connected'; connection: Connection | null }
  | { outcome: 'cancelled' }
  | { outcome: 'failed'; error: AuthpipeError };

/** The attempt that a message must be about. All others are ignored. */
export interface Expected {
  provider: string;
  level: Level;
  sessionId: string;
  /** The window that was opened. Undefined after a reload, which loses it; then origin and session id must do. */
  popup?: Window | undefined;
}

/**
 * Listens for the message of the handler's return page, until ended. The page posts it to the window that opened it, and to a
 * channel of all windows of this origin, because a provider's page may cut the window off from its opener.
 */
export function listen(expected: Expected, ended: AbortSignal, receive: (outcome: Outcome) => void): void {
  const post = (event: MessageEvent) => {
    if (isFrom(event, expected.popup)) read(event.data);
  };
  const read = (data: unknown) => {
    const outcome = outcomeOf(data, expected);
    if (outcome) receive(outcome);
  };
  window.addEventListener('message', post, { signal: ended });
  const channel = openChannel();
  if (!channel) return;
  channel.onmessage = (event) => read(event.data);
  ended.addEventListener('abort', () => channel.close());
}

/** Browsers that refuse storage may refuse a channel. */
function openChannel(): BroadcastChannel | undefined {
  try {
    return new BroadcastChannel('authpipe');
  } catch {
    return undefined;
  }
}

/**
 * Reports whether a message comes from this origin and from the window that was opened. Any page can post to a window that it has a
 * reference to.
 */
function isFrom(event: MessageEvent, popup: Window | undefined): boolean {
  return event.origin === window.location.origin && (!popup || event.source === popup);
}

/** Reads a message about the session that was begun; undefined for any other. */
function outcomeOf(raw: unknown, expected: Expected): Outcome | undefined {
  if (typeof raw !== 'object' || raw === null) return undefined;
  const data = raw as Record<string, unknown>;
  if (data['source'] !== 'authpipe' || data['sessionId'] !== expected.sessionId) return undefined;
  // A person who comes back to another tenant learns that it failed, and not what it was for.
  const unnamed = data['outcome'] === 'failed' && data['provider'] === '' && data['for'] === '';
  if (!unnamed && (data['provider'] !== expected.provider || data['for'] !== expected.level)) return undefined;
  switch (data['outcome']) {
    case 'connected':
      return { outcome: 'connected', connection: connectionIn(data['connection']) };
    case 'cancelled':
      return { outcome: 'cancelled' };
    case 'failed':
      return { outcome: 'failed', error: errorOf(data['error']) ?? new AuthpipeError('failed', 'nothing was connected') };
    default:
      return undefined;
  }
}

/** Returns the connection in the message, or null: then the handler is asked for it. */
function connectionIn(raw: unknown): Connection | null {
  try {
    return connectionOf(raw ?? null);
  } catch {
    return null;
  }
}
