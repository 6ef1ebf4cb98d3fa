import type { VaultAuth } from './auth.js';
import { longest, steady, type Clock } from './clock.js';
import type { AuthpipeError } from './error.js';

/** Something that failed in the background, where nobody waits for it. */
export interface Trouble {
  /** What failed. It holds no secret. */
  error: AuthpipeError;
  /** The credential that it was about; `undefined` for the client's own token of Vault. */
  ref: string | undefined;
}

/** How an {@link Authpipe} finds Vault, and how it behaves. */
export interface AuthpipeOptions {
  /** Where Vault is. The default is the environment's `VAULT_ADDR`. */
  vaultAddr?: string | undefined;
  /** Where the engine is mounted. The default is `authpipe`. */
  mount?: string | undefined;
  /** How to get a token of Vault's. The default is the environment's `VAULT_TOKEN`. */
  auth?: VaultAuth | undefined;
  /** The namespace, of Vault Enterprise or OpenBao. The default is the environment's `VAULT_NAMESPACE`. */
  namespace?: string | undefined;

  /** Bounds the cache, in credentials. Those that are asked for least go first. The default is 10,000. */
  size?: number | undefined;
  /**
   * How old an answer may get, in ms, before it is asked for anew in the background, even if the engine's ttl is longer, as a
   * token's of sixty days is: by then the person may have connected again, or the tenant may be suspended. The default is five
   * minutes.
   */
  maxAge?: number | undefined;
  /**
   * How much older than that an answer may get, in ms, while it cannot be renewed, because Vault is sealed, out of reach, or no longer
   * accepts the client's token. Then it is dropped, and `getCredential` throws the error of the failed read. A token is never served
   * after its own end. The default is a day; 0: no longer than `maxAge` allows.
   */
  maxStale?: number | undefined;
  /**
   * How old a refusal (`not_found`, `needs_reauth`, …) may get, in ms, before it is asked about anew. Somebody who connects in this
   * process is seen at once; elsewhere, so much later. The default is 30 seconds.
   */
  refusalAge?: number | undefined;
  /** How long one question to Vault may take, in ms, with what is tried again. The default is 30 seconds. */
  timeout?: number | undefined;
  /** How many credentials are renewed at once in the background. The default is 16. */
  parallel?: number | undefined;

  /** Is told what fails in the background. By default nobody is. */
  onTrouble?: ((trouble: Trouble) => void) | undefined;
  /** What Vault is asked with. The default is the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /**
   * The clock that lives are reckoned by, in ms. The default is the process's own, which nobody can set back, and which does not stop
   * while the machine sleeps. It must not go back.
   */
  now?: Clock | undefined;
}

/** What may be said of a question, beside what is asked. */
export interface AskOptions {
  /** Ends the waiting. A question that others wait for too goes on. */
  signal?: AbortSignal | undefined;
}

/** How a credential is deleted. */
export interface DisconnectOptions extends AskOptions {
  /** Forget it even if the provider could not be told: then the grant stands there. */
  force?: boolean | undefined;
  /** `false` leaves the provider alone altogether. */
  revoke?: boolean | undefined;
}

/** What is made of the options. */
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

/** settingsOf fills in the defaults. What is no number that can be kept to is as if it were not said. */
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

/** positive is value, if it is a number that can be kept to. */
export function positive(value: number | undefined, otherwise: number): number {
  return value !== undefined && value > 0 ? value : otherwise;
}

/** tell keeps the application's own trouble with trouble out of the client. */
function tell(listener: AuthpipeOptions['onTrouble'], trouble: Trouble): void {
  try {
    listener?.(trouble);
  } catch {
    // It was told.
  }
}
