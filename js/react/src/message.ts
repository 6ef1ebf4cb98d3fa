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
 * Reads what the handler's return page posts. Any page can post anything to a window: what is not from this very origin, from
 * the window that was opened, and about the session that was begun is left alone, and undefined returned.
 */
export function outcomeOf(event: MessageEvent, expected: Expected): Outcome | undefined {
  if (event.origin !== window.location.origin) return undefined;
  if (expected.popup && event.source !== expected.popup) return undefined;
  if (typeof event.data !== 'object' || event.data === null) return undefined;
  const data = event.data as Record<string, unknown>;
  if (data['source'] !== 'authpipe' || data['sessionId'] !== expected.sessionId) return undefined;
  if (data['provider'] !== expected.provider || data['for'] !== expected.level) return undefined;
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
