import type { Level } from './connection.js';

/** What this tab stores of an attempt, so that a reload or a trip to the provider does not lose it. It holds no secret. */
export interface Ticket {
  sessionId: string;
  /** RFC 3339. */
  expiresAt: string;
  /** Whether a window was opened, or this tab itself went to the provider. */
  display: 'popup' | 'tab';
}

const keyOf = (provider: string, level: Level) => `authpipe:${provider}:${level}`;

export function keepTicket(provider: string, level: Level, ticket: Ticket): void {
  try {
    window.sessionStorage.setItem(keyOf(provider, level), JSON.stringify(ticket));
  } catch {
    // Storage may be forbidden or full. Then a reload loses the attempt, and the connection shows once it is made.
  }
}

export function dropTicket(provider: string, level: Level): void {
  try {
    window.sessionStorage.removeItem(keyOf(provider, level));
  } catch {
    // as above
  }
}

/** Returns the attempt that was under way when this page was left, if its session has not ended. */
export function findTicket(provider: string, level: Level): Ticket | undefined {
  try {
    const found = JSON.parse(window.sessionStorage.getItem(keyOf(provider, level)) ?? 'null') as Ticket | null;
    if (found && typeof found.sessionId === 'string' && Date.parse(found.expiresAt) > Date.now()) return found;
  } catch {
    // no ticket, or an unreadable one
  }
  return undefined;
}
