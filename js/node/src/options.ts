import type { VaultAuth } from './auth.js';
import { longest, steady, type Clock } from './clock.js';
import type { AuthpipeError } from './error.js';

/** A failure in the background, for which no caller waits. */
export interface Trouble {
  /** The error. It holds no secret. */
  error: AuthpipeError;
  /** The ref of the credential that it is about; `undefined` for the client's own Vault token. */
  ref: string | undefined;
}

/** Options of an {@link Authpipe}. */
export interface AuthpipeOptions {
  /** Vault's address. The default is the environment's `VAULT_ADDR`. */
  vaultAddr?: string | undefined;
  /** Where the engine is mounted. The default is `authpipe`. */
  mount?: string | undefined;
  /** How to log in to Vault. The default is the environment's `VAULT_TOKEN`. */
  auth?: VaultAuth | undefined;
  /** The namespace, of Vault Enterprise or OpenBao. The default is the environment's `VAULT_NAMESPACE`. */
  namespace?: string | undefined;

  /** The size of the cache, in credentials. Those that are read least are evicted first. The default is 10,000. */
  size?: number | undefined;
  /**
   * How old an answer may get, in ms, before it is renewed in the background, even if the engine's ttl is longer, as a token's of
   * sixty days is: the person may have connected again, or the tenant may be suspended. The default is five minutes.
   */
  maxAge?: number | undefined;
  /**
   * How much older than that an answer may get, in ms, while it cannot be renewed, because Vault is sealed, out of reach, or no
   * longer accepts the client's token. Then it is dropped, and `getCredential` throws the error of the failed read. A token is
   * never served after its own end. The default is a day; 0: no longer than `maxAge` allows.
   */
  maxStale?: number | undefined;
  /**
   * How old a refusal (`not_found`, `needs_reauth`, …) may get, in ms, before it is read again. A connection that this process
   * completes shows at once, one that another completes after so long. The default is 30 seconds.
   */
  refusalAge?: number | undefined;
  /** How long one request to Vault may take, in ms, with its retries. The default is 30 seconds. */
  timeout?: number | undefined;
  /** How many credentials are renewed at once in the background. The default is 16. */
  parallel?: number | undefined;

  /** Receives failures in the background. The default ignores them. */
  onTrouble?: ((trouble: Trouble) => void) | undefined;
  /** Sends the requests to Vault. The default is the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /**
   * The clock for lives and ages, in ms. It must not go back. The default is the process's own, which cannot be set back, and does
   * not stop while the machine sleeps.
   */
  now?: Clock | undefined;
}

/** Options of a request. */
export interface AskOptions {
  /** Ends the waiting. A call that other callers wait for goes on. */
  signal?: AbortSignal | undefined;
}

/** Options of `disconnect`. */
export interface DisconnectOptions extends AskOptions {
  /** Delete the credential even if the revocation at the provider fails: then the grant remains there. */
  force?: boolean | undefined;
  /** `false` does not revoke at the provider. */
  revoke?: boolean | undefined;
}

/** The options with their defaults. */
export interface Settings {
  vaultAddr: string;
  mount: string;
  auth: VaultAuth;
  namespace: string | undefined;
  size: number;
  maxAge: number;
  maxStale: number;
  refusalAge: number;
  timeout: number;
  parallel: number;
  trouble(error: AuthpipeError, ref?: string): void;
  fetch: typeof globalThis.fetch;
  now: Clock;
}

/** settingsOf fills in the defaults, also for numbers that are not positive. */
export function settingsOf(options: AuthpipeOptions): Settings {
  const { env } = process;
  const auth = options.auth ?? (env.VAULT_TOKEN ? { method: 'token' as const, token: env.VAULT_TOKEN } : undefined);
  const vaultAddr = options.vaultAddr ?? env.VAULT_ADDR;
  if (!auth || !vaultAddr) {
    throw new TypeError(`new Authpipe needs ${auth ? 'vaultAddr' : 'auth'}, or the environment's ${auth ? 'VAULT_ADDR' : 'VAULT_TOKEN'}`);
  }
  return {
    vaultAddr,
    auth,
    mount: (options.mount ?? '').replace(/^\/+|\/+$/g, '') || 'authpipe',
    namespace: options.namespace ?? env.VAULT_NAMESPACE,
    size: Math.ceil(positive(options.size, 10_000)),
    maxAge: positive(options.maxAge, 5 * 60_000),
    maxStale: options.maxStale === 0 ? 0 : positive(options.maxStale, 24 * 60 * 60_000),
    refusalAge: positive(options.refusalAge, 30_000),
    timeout: Math.min(positive(options.timeout, 30_000), longest),
    parallel: Math.ceil(positive(options.parallel, 16)),
    trouble: (error, ref) => tell(options.onTrouble, { error, ref }),
    fetch: options.fetch ?? ((...args) => globalThis.fetch(...args)),
    now: options.now ?? steady(),
  };
}

/** positive returns value if it is a positive number. */
export function positive(value: number | undefined, otherwise: number): number {
  return value !== undefined && value > 0 ? value : otherwise;
}

/** tell calls the listener. An error that it throws does not reach the client. */
function tell(listener: AuthpipeOptions['onTrouble'], trouble: Trouble): void {
  try {
    listener?.(trouble);
  } catch {
    // The listener's own error.
  }
}
