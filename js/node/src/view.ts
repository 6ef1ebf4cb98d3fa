import { present, type Connection } from './connection.js';
import type { CredentialSource, Status } from './credential.js';
import { AuthpipeError } from './error.js';
import { Refusal } from './guard.js';

/** For whom a browser connects: the tenant, or the person at the browser. */
export type ConnectionFor = Exclude<CredentialSource, 'connection' | 'static'> | 'user';

/** A connection as a browser receives it. It holds no token. */
export interface ConnectionView {
  /** The authorization server's short name. */
  provider: string;
  /** For whom it was connected. */
  for: ConnectionFor;
  /** Its state. */
  status: Status;
  /** The scopes that were granted. */
  scopes: string[];
  /** The scopes that were asked for and not granted. */
  missingScopes: string[];
  /** When it was connected, in RFC 3339. */
  connectedAt: string;
  /** When the token ends; absent if it does not. */
  expiresAt?: string;
  /** The provider's id of the account. */
  providerUserId?: string;
  /** Whether only the person can help, by connecting again. */
  needsReauth: boolean;
}

/** Why a request was refused: one of the engine's codes, or `unauthenticated`, `forbidden`, `interrupted`, `cancelled`. */
export interface ErrorView {
  /** The code, to compare. */
  code: string;
  /** What happened, for people. */
  message: string;
}

/** The response to `POST start`. */
export interface StartAnswer {
  /** The session's id. */
  sessionId: string;
  /** Where to send the browser. */
  authorizationUrl: string;
  /** When the session ends, in RFC 3339. */
  expiresAt: string;
}

/**
 * The message that the page at `GET return` sends: to the window that opened it, by `postMessage` to its own origin, and to every
 * other window of that origin, over the `BroadcastChannel` named `authpipe`. The channel works even where the provider's pages have
 * cut the popup off from its opener.
 */
export interface ReturnMessage {
  /** Distinguishes it from other messages. */
  source: 'authpipe';
  /** The session that is over. */
  sessionId: string;
  /** The authorization server's short name; empty where the session is not one of the tenant's. */
  provider: string;
  /** For whom it was to be connected; empty where the session is not one of the tenant's. */
  for: ConnectionFor | '';
  /** How the session ended: `cancelled` if the person declined. */
  outcome: 'connected' | 'cancelled' | 'failed';
  /** The connection, if there is one. */
  connection?: ConnectionView;
  /** Why there is no connection. */
  error?: ErrorView;
}

/** viewed returns a connection as a browser receives it. */
export function viewed(connection: Connection): ConnectionView {
  return present<ConnectionView>({
    provider: connection.provider,
    for: connection.credentialFor as ConnectionFor,
    status: connection.status,
    scopes: connection.scopes,
    missingScopes: connection.missingScopes,
    connectedAt: connection.connectedAt?.toISOString() ?? '',
    expiresAt: connection.expiresAt?.toISOString(),
    providerUserId: connection.providerUserId,
    needsReauth: connection.needsReauth,
  });
}

/** A text for people for each code. The engine's own texts are for its operator, and name paths in Vault. */
const messages: Record<string, string> = {
  invalid_request: 'This cannot be asked for.',
  not_found: 'There is no such connection.',
  needs_reauth: 'The connection has ended. Connect again.',
  revoked: 'The connection was taken back at the provider. Connect again.',
  failed: 'The connection has expired. Connect again.',
  suspended: 'Connecting is switched off at the moment.',
  installation_required: 'The app is not installed for your organization yet. Ask somebody who may install it.',
  account_mismatch: 'Another account is connected here. Sign in at the provider with that account, or disconnect it first.',
  actor_mismatch: 'This was begun by somebody else. Begin again.',
  session_used: 'This was used already. Begin again.',
  session_expired: 'It took too long. Begin again.',
  access_denied: 'Access was declined at the provider.',
  pending: 'It is not finished yet. Try again in a moment.',
  cancelled: 'It was cancelled.',
  interrupted: 'It was interrupted. Begin again.',
  expired: 'It took too long. Begin again.',
  throttled: 'The provider takes no more requests at the moment. Try again later.',
};

/** messageOf returns the text for people that belongs to a code. */
export function messageOf(code: string): string {
  return messages[code] ?? 'It does not work at the moment. Try again later.';
}

/** The engine's codes that are about the browser's request. The others are about Vault, the provider or the application's own setup. */
const theirs = new Set(Object.keys(messages));

/** viewOf returns an error as a browser receives it, with the response's status and headers. */
export function viewOf(error: unknown): { status: number; view: ErrorView; headers: Record<string, string> } {
  if (error instanceof Refusal) {
    return { status: error.status, view: { code: error.code, message: error.message }, headers: error.headers };
  }
  if (!(error instanceof AuthpipeError)) {
    return { status: 500, view: { code: 'internal', message: messageOf('internal') }, headers: {} };
  }
  const { code } = error;
  const status = theirs.has(code) ? (error.status ?? 400) : code === 'misconfigured' ? 424 : 502;
  // An error without a status comes from this client's own check of a name: its text names the field, and nothing in Vault.
  return { status, view: { code, message: code === 'invalid_request' && error.status === undefined ? error.detail : messageOf(code) }, headers: {} };
}
