import type { Level } from './connection.js';
import { Server } from './server.js';
import { ConnectionStore } from './store.js';

export interface ClientOptions {
  /** Where the handler of `@authpipe/node` is: a path of this page's own origin. The default is `/authpipe`. */
  basePath?: string | undefined;
  /** The default is the browser's. */
  fetch?: typeof fetch | undefined;
  /** Takes this tab to the provider, if no window opens. The default is `location.assign`. */
  navigate?: ((url: string) => void) | undefined;
}

/** The connections of one page. All components that show the same one share its store. */
export class Client {
  readonly #server: Server;
  readonly #navigate: (url: string) => void;
  readonly #stores = new Map<string, ConnectionStore>();

  constructor({ basePath = '/authpipe', fetch, navigate }: ClientOptions = {}) {
    this.#server = new Server(basePath, fetch);
    this.#navigate = navigate ?? ((url) => window.location.assign(url));
  }

  connection(provider: string, level: Level): ConnectionStore {
    const key = `${provider}/${level}`;
    const known = this.#stores.get(key);
    if (known) return known;
    const store = new ConnectionStore({
      server: this.#server, provider, level, leave: this.#navigate,
      // A person's own connection depends on the installation, and is removed with it.
      changed: () => level === 'installation' && this.#stores.get(`${provider}/user`)?.outdate(),
    });
    this.#stores.set(key, store);
    return store;
  }
}
