import type { Level } from './connection.js';
import { AuthpipeError } from './failure.js';
import { listen, type Outcome } from './message.js';
import type { Session } from './server.js';
import type { Ticket } from './ticket.js';

/** What following an attempt needs of the server. */
export interface Sessions {
  session(id: string): Promise<Session>;
}

/** An attempt that is under way, with its listeners. */
export interface Attempt {
  server: Sessions;
  provider: string;
  level: Level;
  ticket: Ticket;
  /** The window that was opened. Undefined if this page was loaded since, or this tab went to the provider itself. */
  popup?: Window | undefined;
  /** The person closed the window, or came back from the provider without finishing. They may still finish elsewhere. */
  abandoned(): void;
  /** The attempt has ended. Called once, or never if following stopped before. */
  settled(outcome: Outcome): void;
}

/** How often to check whether the window was closed, in ms. There is no event for it. */
const glance = 500;
/** How long after the first request about the session the next follows, in ms. The interval doubles, to at most half a minute. */
const firstPause = 1000;
const longestPause = 30_000;
/** How long after its end a session is still asked about, in ms, because this machine's clock may be wrong. */
const patience = 60_000;

/**
 * Follows an attempt to its end: by the message of the return page, and by asking the handler, because the message may be lost.
 */
export function follow(attempt: Attempt): () => void {
  const ended = new AbortController();
  const end = (outcome: Outcome) => {
    if (ended.signal.aborted) return;
    ended.abort();
    attempt.settled(outcome);
  };
  const { provider, level, popup, ticket } = attempt;
  listen({ provider, level, popup, sessionId: ticket.sessionId }, ended.signal, end);
  if (popup) watch(attempt, popup, ended.signal, end);
  else void ask(attempt, ended.signal, end);
  return () => ended.abort();
}

/** Watches the window until it is closed or the session has ended, and asks the handler from then on. */
function watch(attempt: Attempt, popup: Window, ended: AbortSignal, end: (outcome: Outcome) => void): void {
  const deadline = Date.parse(attempt.ticket.expiresAt);
  const timer = setInterval(() => {
    if (!popup.closed && Date.now() < deadline) return;
    clearInterval(timer);
    void ask(attempt, ended, end);
  }, glance);
  ended.addEventListener('abort', () => clearInterval(timer));
}

async function ask(attempt: Attempt, ended: AbortSignal, end: (outcome: Outcome) => void): Promise<void> {
  const { server, ticket, popup } = attempt;
  const giveUp = Date.parse(ticket.expiresAt) + patience;
  let abandoned = false;
  for (let looks = 0; !ended.aborted; looks++) {
    const session = await server.session(ticket.sessionId).catch((error: unknown) => error);
    if (ended.aborted) return;
    const outcome = endOf(session);
    if (outcome) return end(outcome);
    if (Date.now() > giveUp) return end({ outcome: 'failed', error: expired() });
    // The first answer may be older than the last action in the window.
    const gone = popup ? popup.closed : ticket.display === 'tab';
    if (looks > 0 && gone && !abandoned && isIdle(session)) {
      abandoned = true;
      attempt.abandoned();
    }
    await pause(Math.min(firstPause * 2 ** looks, longestPause), ended);
  }
}

/** No request is completing it: the person has to act. */
const isIdle = (session: unknown) => ['pending', 'authorized'].includes((session as Session).status);

const passing = new Set(['unavailable', 'throttled', 'internal']);

/** Returns how the attempt ended, from the handler's answer or the error in its place; undefined if it has not. */
function endOf(session: unknown): Outcome | undefined {
  if (session instanceof Error) {
    const code = session instanceof AuthpipeError ? session.code : 'unavailable';
    // A lost network or a failing handler does not end it. The next request finds out.
    return passing.has(code) ? undefined : { outcome: 'failed', error: session as AuthpipeError };
  }
  const { status, error } = session as Session;
  switch (status) {
    case 'completed':
      return { outcome: 'connected', connection: null };
    case 'expired':
      return { outcome: 'failed', error: expired() };
    case 'failed':
      if (error && ['access_denied', 'cancelled'].includes(error.code)) return { outcome: 'cancelled' };
      return { outcome: 'failed', error: error ?? new AuthpipeError('failed', 'nothing was connected') };
    default:
      return undefined;
  }
}

const expired = () => new AuthpipeError('session_expired', 'the time for this connection is over');

function pause(milliseconds: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      ended.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    ended.addEventListener('abort', done);
  });
}
