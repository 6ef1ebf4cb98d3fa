import type { Level } from './connection.js';
import { AuthpipeError } from './failure.js';
import { listen, type Outcome } from './message.js';
import type { Server, Session } from './server.js';
import type { Ticket } from './ticket.js';

/** An attempt that is under way, and who wants to know of it. */
export interface Attempt {
  server: Server;
  provider: string;
  level: Level;
  ticket: Ticket;
  /** The window that was opened. Undefined where this page was loaded since, or was left for the provider itself. */
  popup?: Window | undefined;
  /** The person closed the window, or came back from the provider with nothing done. They may do it all the same, elsewhere. */
  abandoned(): void;
  /** It has ended. Called once, or never if the following was stopped before. */
  settled(outcome: Outcome): void;
}

/** How often it is looked whether the window was closed: nothing tells. */
const glance = 500;
/** How long after the first look at the session the next is due; it doubles from there, to at most half a minute. */
const firstPause = 1000;
const longestPause = 30_000;
/** How long past its time a session is asked about, by this machine's clock, which may be wrong. */
const patience = 60_000;

/** Follows an attempt to its end: by the message of the return page, and where that may be lost by asking the handler. */
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

/** Looks at the window until it is closed or the session's time is over, and asks from then on. */
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
    // The first look may come before the last thing that the window did has arrived.
    const gone = popup ? popup.closed : ticket.display === 'tab';
    if (looks > 0 && gone && !abandoned && isIdle(session)) {
      abandoned = true;
      attempt.abandoned();
    }
    await pause(Math.min(firstPause * 2 ** looks, longestPause), ended);
  }
}

/** Nobody is at work on it: the person has to do something. */
const isIdle = (session: unknown) => ['pending', 'authorized'].includes((session as Session).status);

const passing = new Set(['unavailable', 'throttled', 'internal']);

/** What the handler's answer, or the error in its place, says of the attempt's end; undefined while there is none. */
function endOf(session: unknown): Outcome | undefined {
  if (session instanceof Error) {
    const code = session instanceof AuthpipeError ? session.code : 'unavailable';
    // A moment without the network, or of trouble in the handler, is no end; the next look tells.
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
