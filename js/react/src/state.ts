import type { Connection } from './connection.js';
import type { AuthpipeError } from './failure.js';

/**
 * - `loading`: not known yet, on the server too
 * - `idle`: not connected
 * - `waiting`: the person is at the provider
 * - `connected`
 * - `needs_reauth`: was connected; only the person can mend it, by connecting again
 * - `cancelled`, `failed`: how the last attempt ended, where nothing is connected
 */
export type ConnectionState = 'loading' | 'idle' | 'waiting' | 'connected' | 'needs_reauth' | 'cancelled' | 'failed';

export interface Snapshot {
  state: ConnectionState;
  connection: Connection | null;
  /** How the last attempt ended, until the next; beside `connected` too, where an attempt to get more came to nothing. */
  last: 'connected' | 'cancelled' | 'failed' | null;
  /** Why it failed. */
  error: AuthpipeError | null;
  disconnecting: boolean;
}

/** How an attempt ended, as the application is told. */
export type Ended =
  | { outcome: 'connected'; connection: Connection }
  | { outcome: 'cancelled' }
  | { outcome: 'failed'; error: AuthpipeError };

/** The state that follows from the connection and from how the last attempt ended. */
export function stateOf(connection: Connection | null, last: Snapshot['last']): Pick<Snapshot, 'state' | 'connection'> {
  if (connection && !connection.needsReauth && connection.status === 'active') return { state: 'connected', connection };
  if (last === 'cancelled' || last === 'failed') return { state: last, connection };
  return { state: connection ? 'needs_reauth' : 'idle', connection };
}

/** Before anything was asked, and on a server. */
export const unknown: Snapshot = { state: 'loading', connection: null, last: null, error: null, disconnecting: false };
