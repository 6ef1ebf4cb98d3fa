/**
 * What went wrong, by a code to match. The codes are the engine's (`access_denied`, `actor_mismatch`, `session_expired`,
 * `installation_required`, …), the handler's (`unauthenticated`, `forbidden`) and two of this package: `unavailable`, the
 * handler cannot be reached, and `invalid_response`, it answered what nobody expects.
 */
export class AuthpipeError extends Error {
  override readonly name = 'AuthpipeError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The error that an answer's or a message's `error` tells of, or undefined where it is none. */
export function errorOf(raw: unknown): AuthpipeError | undefined {
  if (typeof raw !== 'object' || raw === null) return undefined;
  const { code, message } = raw as Record<string, unknown>;
  if (typeof code !== 'string') return undefined;
  return new AuthpipeError(code, typeof message === 'string' ? message : code);
}
