import type { Connection } from './connection.js';
import type { AuthpipeError } from './failure.js';

/**
 * - `loading`: not known yet; also on the server
 * - `idle`: not connected
 * - `waiting`: the person is at the provider
 * - `connected`
 * - `needs_reauth`: was connected; only the person can repair it, by connecting again
 * - `cancelled`, `failed`: how the last attempt ended, if nothing is connected
 */
export type ConnectionState = 'loading' | 'idle' | 'waiting' | 'connected' | 'needs_reauth' | 'cancelled' | 'failed';

export interface Snapshot {
  state: ConnectionState;
  connection: Connection | null;
  /**
   * How the last attempt ended, until the next begins. It may be `failed` beside the state `connected`, after an attempt to get
   * more permissions.
   */
  last: 'connected' | 'cancelled' | 'failed' | null;
  /** Why it failed. */
  error: AuthpipeError | null;
  disconnecting: boolean;
}

/** How an attempt ended, as the application's callbacks receive it. */
export type Ended =
  | { outcome: 'connected'; connection: Connection }
  | { outcome: 'cancelled' }
  | { outcome: 'failed'; error: AuthpipeError };

/** Returns the state for a connection and the end of the last attempt. */
export function stateOf(connection: Connection | null, last: Snapshot['last']): Pick<Snapshot, 'state' | 'connection'> {
  if (connection && !connection.needsReauth && connection.status === 'active') return { state: 'connected', connection };
  if (last === 'cancelled' || last === 'failed') return { state: last, connection };
  return { state: connection ? 'needs_reauth' : 'idle', connection };
}

/** The state before the first answer, and on a server. */
export const unknown: Snapshot = { state: 'loading', connection: null, last: null, error: null, disconnecting: false };
