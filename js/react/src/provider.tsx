import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef } from 'react';
import { Client, type ClientOptions } from './client.js';
import type { WordChanges } from './words.js';

export interface AuthpipeProviderProps extends ClientOptions {
  /** Texts for all components below, such as a translation. */
  words?: WordChanges | undefined;
  children?: ReactNode;
}

interface Shared {
  client: Client;
  words: WordChanges;
}

// The value without an AuthpipeProvider, so that a button works alone. On a server it stores nothing: there is no request, and the
// state is `loading`.
const Context = createContext<Shared>({ client: new Client(), words: {} });

/** Sets the handler's path and the texts. Components work without it if the handler is at `/authpipe`. */
export function AuthpipeProvider({ basePath, fetch, navigate, words = none, children }: AuthpipeProviderProps) {
  // Callers often pass new functions at each render. That must not lose the client's state.
  const latest = useRef({ fetch, navigate });
  useEffect(() => {
    latest.current = { fetch, navigate };
  });
  const client = useMemo(
    () =>
      new Client({
        basePath,
        fetch: (input, init) => (latest.current.fetch ?? window.fetch)(input, init),
        navigate: (url) => (latest.current.navigate ? latest.current.navigate(url) : window.location.assign(url)),
      }),
    [basePath],
  );
  const shared = useMemo(() => ({ client, words }), [client, words]);
  return <Context.Provider value={shared}>{children}</Context.Provider>;
}

const none: WordChanges = {};

export const useShared = (): Shared => useContext(Context);
