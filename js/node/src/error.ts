/**
 * The code of a refusal by the engine, Vault or this client. The engine's codes are its own words.
 *
 * - about a credential: `invalid_request`, `not_found`, `needs_reauth`, `revoked`, `failed`, `suspended`
 * - while connecting: `installation_required`, `account_mismatch`, `actor_mismatch`, `session_used`, `session_expired`,
 *   `access_denied`, `pending`
 * - about the provider: `misconfigured`, `throttled`, `unavailable`. The last is Vault's as well: sealed, restarting, out of reach
 * - of Vault: `permission_denied` if no policy of the client's token allows the request, or the token is not valid any more (only a
 *   policy's refusal takes a credential out of service at once); `no_mount` if there is no authpipe at the client's `mount`
 * - of this client: `closed`, and `unexpected` for a response that has no code
 */
export type ErrorCode = EngineCode | 'permission_denied' | 'no_mount' | 'closed' | 'unexpected';

const engineCodes = [
  'invalid_request', 'not_found', 'needs_reauth', 'revoked', 'failed', 'suspended',
  'installation_required', 'account_mismatch', 'actor_mismatch', 'session_used', 'session_expired', 'access_denied', 'pending',
  'misconfigured', 'throttled', 'unavailable',
] as const;

/** The engine's own codes. */
export type EngineCode = (typeof engineCodes)[number];

/** The parts of an {@link AuthpipeError}. */
export interface ErrorParts {
  /** What was attempted: `reading creds/org_acme/facebook/installation`. */
  op: string;
  /** Which refusal it is. */
  code: ErrorCode;
  /** What happened and what to do, in the engine's words. */
  message: string;
  /** Vault's HTTP status, if an answer came. */
  status?: number | undefined;
}

/**
 * A refusal by the engine or by Vault, or a failure to reach them. Compare its `code`. It holds no secret and has no cause, because
 * the platform's errors quote what the peer sent.
 */
export class AuthpipeError extends Error {
  /** Which refusal it is. */
  readonly code: ErrorCode;
  /** Vault's HTTP status; `undefined` if no answer came. */
  readonly status: number | undefined;
  /** What was attempted: `reading creds/org_acme/facebook/installation`. */
  readonly op: string;
  /** What happened and what to do, in the engine's words, without `op` and `code`. */
  readonly detail: string;

  /** Made by the client. It is exported for `instanceof`, and so that tests can make one. */
  constructor(parts: ErrorParts) {
    super([parts.op, parts.code, parts.message].filter(Boolean).join(': '));
    this.code = parts.code;
    this.status = parts.status;
    this.op = parts.op;
    this.detail = parts.message;
  }

  /** Whether only the person can help, by connecting again: it is a {@link NeedsReauthError}. */
  get needsReauth(): boolean {
    return needsReauth(this.code);
  }
}
Object.defineProperty(AuthpipeError.prototype, 'name', { value: 'AuthpipeError' });

/**
 * Thrown if only a person can help: the credential is dead (`needs_reauth`), was taken away (`revoked`), or expired while
 * refreshing failed (`failed`).
 */
export class NeedsReauthError extends AuthpipeError {
  /** The credential that was asked for. */
  readonly ref: string;
  /** Where to connect again, below the mount: `connect/<ref>`. A page is reached through the credential above it. */
  readonly connectPath: string;

  /** Made by the client. */
  constructor(parts: ErrorParts & { ref: string; connectPath: string }) {
    super(parts);
    this.ref = parts.ref;
    this.connectPath = parts.connectPath;
  }
}
Object.defineProperty(NeedsReauthError.prototype, 'name', { value: 'NeedsReauthError' });

/** Thrown if there is no such credential (`not_found`). */
export class NotConnectedError extends AuthpipeError {
  /** The credential that was asked for. With `credentialFor: 'any'` it is the installation's, because neither exists. */
  readonly ref: string;
  /** Where to connect it, below the mount. `undefined` for a static credential, which is written and not connected. */
  readonly connectPath: string | undefined;

  /** Made by the client. */
  constructor(parts: ErrorParts & { ref: string; connectPath: string | undefined }) {
    super(parts);
    this.ref = parts.ref;
    this.connectPath = parts.connectPath;
  }
}
Object.defineProperty(NotConnectedError.prototype, 'name', { value: 'NotConnectedError' });

/** Whether a status or code means that only the person can help. */
export function needsReauth(word: string): boolean {
  return word === 'needs_reauth' || word === 'revoked' || word === 'failed';
}

const final: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'invalid_request', 'not_found', 'needs_reauth', 'revoked', 'failed', 'suspended', 'permission_denied', 'no_mount',
]);

/** Refusals because of the client's own Vault token or its login. */
const ownTrouble = new WeakSet<AuthpipeError>();

/** outage marks a refusal as due to the client's own Vault token or login. It says nothing about a credential. */
export function outage<E>(error: E): E {
  if (error instanceof AuthpipeError) {
    ownTrouble.add(error);
  }
  return error;
}

/**
 * definitive reports whether an error is a refusal that does not change soon, as opposed to an outage. It takes a credential out of
 * service although its token may live: the engine said so, or Vault said that a policy forbids it or that the mount is gone.
 */
export function definitive(error: AuthpipeError): boolean {
  return final.has(error.code) && !ownTrouble.has(error);
}

/** denied reports whether Vault refuses: by a policy, or because of the token. */
export function denied(error: unknown): error is AuthpipeError {
  return error instanceof AuthpipeError && error.code === 'permission_denied';
}

/** unknownToken reports whether Vault says that it does not know the token. Some versions do not say so. */
export function unknownToken(error: AuthpipeError): boolean {
  return denied(error) && error.detail.includes('invalid token');
}

/** closed returns the error of every method after the client was closed. */
export function closed(op = 'asking Vault'): AuthpipeError {
  return new AuthpipeError({ op, code: 'closed', message: 'the client is closed' });
}

/** invalid returns the error of a request that is refused before it is sent. */
export function invalid(field: string, rule: string): AuthpipeError {
  return new AuthpipeError({ op: 'reading a request', code: 'invalid_request', message: `field "${field}" ${rule}` });
}

/** refusal returns the error for a refusal of Vault. */
export function refusal(op: string, status: number, texts: readonly string[]): AuthpipeError {
  const said = codeIn(texts);
  if (said) {
    return new AuthpipeError({ op, status, ...said });
  }
  const message = texts.join('; ').replace(/\s+/g, ' ').trim() || `Vault answered ${status}`;
  return new AuthpipeError({ op, status, code: codeOf(status, message), message });
}

/**
 * codeIn finds a code in the texts of a refusal. It begins a line, after what Vault puts before it ("1 error occurred:" and an
 * asterisk).
 */
export function codeIn(texts: readonly string[]): { code: EngineCode; message: string } | undefined {
  for (const line of texts.flatMap((text) => text.split('\n'))) {
    const [, word, message] = /^\s*(?:\* )?([a-z_]+): (.*?)\s*$/.exec(line) ?? [];
    const code = engineCodes.find((known) => known === word);
    if (code && message !== undefined) {
      return { code, message };
    }
  }
  return undefined;
}

/**
 * codeOf returns the code of a refusal by Vault itself. Its 429 is its own quota, not the provider's limit. A mount whose plugin
 * did not start is an outage.
 */
function codeOf(status: number, message: string): ErrorCode {
  if (status === 403) return 'permission_denied';
  if (status >= 500 || status === 412 || status === 429) return 'unavailable';
  if (status === 404 && message.includes('backend is nil')) return 'unavailable';
  if (status === 404 && (message.includes('no handler for route') || message.includes('unsupported path'))) return 'no_mount';
  return 'unexpected';
}
