import { useEffect, useRef, useSyncExternalStore } from 'react';
import type { Level } from './connection.js';
import { useShared } from './provider.js';
import type { Ended, Snapshot } from './state.js';
import type { ConnectOptions } from './store.js';

export interface UseConnectionOptions {
  /** The provider's short name: `facebook`. */
  provider: string;
  /** Default `user`. */
  for?: Level | undefined;
  /** Told once at the end of each attempt, after a reload too. */
  onEnd?: ((ended: Ended) => void) | undefined;
}

export interface UseConnection extends Snapshot {
  /** Begins an attempt. Call it while a click is being handled: that is when browsers let a window open. */
  connect(options?: ConnectOptions): Promise<void>;
  /** Takes the grant back at the provider and forgets the credential. Rejects with an AuthpipeError. */
  disconnect(): Promise<void>;
  /** Asks how the connection is. This is done by itself at first, and when the person comes back to the page. */
  refresh(): Promise<void>;
  /** Gives up waiting. */
  cancel(): void;
  /** Brings the provider's window to the front. */
  focus(): void;
}

/** The state of a connection, and what can be done about it. All who ask for the same one share it. */
export function useConnection({ provider, for: level = 'user', onEnd }: UseConnectionOptions): UseConnection {
  const store = useShared().client.connection(provider, level);
  const snapshot = useSyncExternalStore(store.subscribe, store.read, store.readOnServer);
  const latest = useRef(onEnd);
  useEffect(() => {
    latest.current = onEnd;
  });
  useEffect(() => store.onEnd((ended) => latest.current?.(ended)), [store]);
  const { connect, disconnect, refresh, cancel, focus } = store;
  return { ...snapshot, connect, disconnect, refresh, cancel, focus };
}
