import { type Connection, connectionOf, type Level } from './connection.js';
import { AuthpipeError, errorOf } from './failure.js';

/** How an attempt to connect ended. */
export type Outcome =
  | { outcome: 'connected'; connection: Connection | null }
  | { outcome: 'cancelled' }
  | { outcome: 'failed'; error: AuthpipeError };

/** Which message is waited for: another attempt's, or another's altogether, is none of ours. */
export interface Expected {
  provider: string;
  level: Level;
  sessionId: string;
  /** The window that was opened. Undefined after a reload, which loses it; then the origin and the session id must do. */
  popup?: Window | undefined;
}

/**
 * Hears what the handler's return page tells, until ended. It posts to the window that opened it; and, for a provider's page may have
 * parted the two, to a channel that all windows of this origin hear, and no others.
 */
export function listen(expected: Expected, ended: AbortSignal, hear: (outcome: Outcome) => void): void {
  const post = (event: MessageEvent) => {
    if (isFrom(event, expected.popup)) read(event.data);
  };
  const read = (data: unknown) => {
    const outcome = outcomeOf(data, expected);
    if (outcome) hear(outcome);
  };
  window.addEventListener('message', post, { signal: ended });
  const channel = openChannel();
  if (!channel) return;
  channel.onmessage = (event) => read(event.data);
  ended.addEventListener('abort', () => channel.close());
}

/** Browsers may refuse one, where they refuse storage. */
function openChannel(): BroadcastChannel | undefined {
  try {
    return new BroadcastChannel('authpipe');
  } catch {
    return undefined;
  }
}

/** Any page can post anything to a window that it has a reference to: what is not from this very origin and from the window that was opened is not heard. */
function isFrom(event: MessageEvent, popup: Window | undefined): boolean {
  return event.origin === window.location.origin && (!popup || event.source === popup);
}

/** Reads a message that is about the session that was begun; any other is left alone, and undefined returned. */
function outcomeOf(raw: unknown, expected: Expected): Outcome | undefined {
  if (typeof raw !== 'object' || raw === null) return undefined;
  const data = raw as Record<string, unknown>;
  if (data['source'] !== 'authpipe' || data['sessionId'] !== expected.sessionId) return undefined;
  // Who comes back as another tenant's may not know what it was for, but that it failed they may.
  const unnamed = data['outcome'] === 'failed' && data['provider'] === '' && data['for'] === '';
  if (!unnamed && (data['provider'] !== expected.provider || data['for'] !== expected.level)) return undefined;
  switch (data['outcome']) {
    case 'connected':
      return { outcome: 'connected', connection: told(data['connection']) };
    case 'cancelled':
      return { outcome: 'cancelled' };
    case 'failed':
      return { outcome: 'failed', error: errorOf(data['error']) ?? new AuthpipeError('failed', 'nothing was connected') };
    default:
      return undefined;
  }
}

/** The connection that came along, or null: then it is asked for. */
function told(raw: unknown): Connection | null {
  try {
    return connectionOf(raw ?? null);
  } catch {
    return null;
  }
}
