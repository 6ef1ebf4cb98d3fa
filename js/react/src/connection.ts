import { AuthpipeError } from './failure.js';

/** Whose credential it is: the organization's, or that of the person who is signed in. */
export type Level = 'installation' | 'user';

/** What a browser may know of a connection. It has no token: connectionOf drops unknown fields. */
export interface Connection {
  provider: string;
  for: Level;
  /** `active`, or why it is not served: `needs_reauth`, `revoked`, `failed`. */
  status: string;
  /** The scopes that were granted. */
  scopes: string[];
  /** The scopes that were asked for and not granted. */
  missingScopes: string[];
  /** RFC 3339. */
  connectedAt: string;
  /** RFC 3339; absent where it does not expire. */
  expiresAt?: string;
  /** The provider's id of the account. */
  providerUserId?: string;
  /** Only the person can repair it, by connecting again. */
  needsReauth: boolean;
}

/**
 * Reads a connection from the handler's answer. It takes the known fields only, so that a server that answers more than it should
 * leaks nothing beyond this function.
 */
export function connectionOf(raw: unknown): Connection | null {
  if (raw === null) return null;
  const from = (typeof raw === 'object' ? raw : {}) as Record<string, unknown>;
  const level = from['for'];
  if (level !== 'installation' && level !== 'user') throw unexpected('for');
  const connection: Connection = {
    provider: text(from, 'provider'),
    for: level,
    status: text(from, 'status'),
    scopes: texts(from, 'scopes'),
    missingScopes: texts(from, 'missingScopes'),
    connectedAt: text(from, 'connectedAt'),
    needsReauth: from['needsReauth'] === true,
  };
  if (typeof from['expiresAt'] === 'string') connection.expiresAt = from['expiresAt'];
  if (typeof from['providerUserId'] === 'string') connection.providerUserId = from['providerUserId'];
  return connection;
}

function text(from: Record<string, unknown>, field: string): string {
  const value = from[field];
  if (typeof value !== 'string') throw unexpected(field);
  return value;
}

function texts(from: Record<string, unknown>, field: string): string[] {
  const value = from[field];
  if (!Array.isArray(value) || value.some((each) => typeof each !== 'string')) throw unexpected(field);
  return [...(value as string[])];
}

function unexpected(field: string): AuthpipeError {
  return new AuthpipeError('invalid_response', `the handler answered a connection without ${field}`);
}
