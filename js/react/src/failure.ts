/**
 * An error with a code to compare. The codes are the engine's (`access_denied`, `actor_mismatch`, `session_expired`,
 * `installation_required`, …), the handler's (`unauthenticated`, `forbidden`) and two of this package: `unavailable` if the handler
 * cannot be reached, and `invalid_response` for an answer that cannot be read.
 */
export class AuthpipeError extends Error {
  override readonly name = 'AuthpipeError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Returns the error in an answer's or a message's field `error`; undefined if there is none. */
export function errorOf(raw: unknown): AuthpipeError | undefined {
  if (typeof raw !== 'object' || raw === null) return undefined;
  const { code, message } = raw as Record<string, unknown>;
  if (typeof code !== 'string') return undefined;
  return new AuthpipeError(code, typeof message === 'string' ? message : code);
}
