import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef } from 'react';
import { Client, type ClientOptions } from './client.js';
import type { WordChanges } from './words.js';

export interface AuthpipeProviderProps extends ClientOptions {
  /** Other words, in another language for instance, for all components below. */
  words?: WordChanges | undefined;
  children?: ReactNode;
}

interface Shared {
  client: Client;
  words: WordChanges;
}

// What holds without a provider, so that a button alone does. It keeps nothing on a server: there, nothing is asked or shown but `loading`.
const Context = createContext<Shared>({ client: new Client(), words: {} });

/** Says where the handler is, and in what words to speak. Components work without it where the handler is at `/authpipe`. */
export function AuthpipeProvider({ basePath, fetch, navigate, words = none, children }: AuthpipeProviderProps) {
  // Functions are often written where they are given, and are others each time then: what is known must not be lost by that.
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
