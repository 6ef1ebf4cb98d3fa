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
  /** Called once at the end of each attempt, also after a reload. */
  onEnd?: ((ended: Ended) => void) | undefined;
}

export interface UseConnection extends Snapshot {
  /** Begins an attempt. Call it while a click is being handled: browsers open no window later. */
  connect(options?: ConnectOptions): Promise<void>;
  /** Revokes the grant at the provider and deletes the credential. Rejects with an AuthpipeError. */
  disconnect(): Promise<void>;
  /** Reads the connection. This happens by itself at first, and when the person comes back to the page. */
  refresh(): Promise<void>;
  /** Stops waiting, and closes the window. */
  cancel(): void;
  /** Brings the provider's window to the front. */
  focus(): void;
}

/** Returns the state of a connection, and its actions. All callers for the same connection share it. */
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
