import { backoff, spread, type Clock } from './clock.js';
import { Credential, type CredentialData } from './credential.js';
import { definitive, type AuthpipeError } from './error.js';
import type { Ref } from './ref.js';

/** How old answers may get, in ms. */
export interface Ages {
  now: Clock;
  maxAge: number;
  maxStale: number;
  refusalAge: number;
  timeout: number;
}

/** What is known about a ref: a credential, or why there is none. All readers share it. Its times are by the client's clock. */
export interface Answer {
  credential?: Credential;
  error?: AuthpipeError;
  /** When it is dropped: its token has ended, or it was not confirmed for too long. */
  until: number;
  /** When the token ends; Infinity if it does not. */
  ends: number;
  /** Until when it is served while it cannot be renewed. */
  limit: number;
  /** When it is to be renewed. */
  due: number;
  /** Until when it is not checked, even if it is reported dead. */
  checked: number;
  /** A reader has found it due. */
  wanted: boolean;
}

/** The engine's reply about a credential. */
export interface Reply {
  data: CredentialData;
  warnings: readonly string[];
  /** How long the token lives from the time the request was sent, in ms; Infinity if it does not end. */
  left: number;
}

/** Subtracted from a token's life: Vault's Date header has whole seconds, so its clock may be up to a second ahead of it. */
const margin = 1000;

/**
 * lifeLeft returns the least time that a credential lives from when the request was sent, by the clock of the server that answered:
 * the response was written later than the request was sent. Both arguments are in ms since the epoch.
 */
export function lifeLeft(expiresAt: Date | undefined, answeredAt: number): number {
  return expiresAt === undefined ? Infinity : expiresAt.getTime() - answeredAt - margin;
}

/** fresh returns the answer for a reply to a request that was sent at sent. former is the credential that was known before. */
export function fresh(ages: Ages, ref: Ref, reply: Reply, sent: number, former: Credential | undefined): Answer {
  let wait = ages.maxAge;
  if (reply.data.ttl) {
    wait = Math.min(wait, reply.data.ttl * 1000);
  }
  // Up to a tenth later than planned, so that what was read together is not renewed together.
  const oldest = wait * 1.1;
  wait = spread(wait, oldest);
  if (reply.left !== Infinity) {
    // A token that the engine cannot prolong is read again at ever shorter intervals, towards its end.
    wait = Math.min(wait, spread(reply.left * 0.6, reply.left * 0.8));
  }
  let credential = new Credential(ref, reply.data, reply.warnings);
  if (former && (former.refreshed || !former.equals(credential))) {
    credential = new Credential(ref, reply.data, reply.warnings, true);
  }
  const ends = sent + reply.left;
  const limit = sent + oldest + ages.maxStale;
  return { credential, until: Math.min(ends, limit), ends, limit, due: sent + wait, checked: -Infinity, wanted: false };
}

/**
 * checkedAs returns until when an answer is not checked that takes the place of another: as long as that one, if it is the same
 * token.
 */
export function checkedAs(former: Answer | undefined, answer: Answer): number {
  return former?.credential && answer.credential?.equals(former.credential) ? former.checked : -Infinity;
}

/**
 * usable reports whether an answer may be served while it cannot be renewed: a token until its end, a refusal if it is definitive,
 * and both no longer than maxStale.
 */
export function usable(answer: Answer, now: number): boolean {
  return answer.error ? definitive(answer.error) && now < answer.limit : now < answer.until;
}

/** deferred returns an answer that could not be renewed for now, with a later due time. */
export function deferred(ages: Ages, answer: Answer, failures: number): Answer {
  const now = ages.now();
  let wait = spread(backoff(failures) / 2, backoff(failures));
  if (answer.error) {
    return { ...answer, due: now + wait, until: Math.min(now + wait + ages.timeout, answer.limit), wanted: false };
  }
  const left = answer.ends - now;
  if (left !== Infinity) {
    wait = Math.min(wait, Math.max(spread(left / 4, left / 2), 100));
  }
  return { ...answer, due: now + wait, wanted: false };
}

/** refused returns the answer for an error. */
export function refused(ages: Ages, error: AuthpipeError, failures: number): Answer {
  const now = ages.now();
  const answer = { error, ends: Infinity, limit: now + ages.refusalAge + ages.maxStale, checked: -Infinity, wanted: false };
  if (definitive(error)) {
    // Half of its age is left for a renewal in the background: with `any`, readers would wait for a refusal that they expect.
    return { ...answer, until: now + ages.refusalAge, due: now + spread(ages.refusalAge / 2, ages.refusalAge * 0.6) };
  }
  // An error that passes. All callers get it meanwhile, because a retry by each would add to the load.
  const wait = spread(backoff(failures) / 2, backoff(failures));
  return { ...answer, until: now + Math.min(wait, ages.refusalAge), due: Infinity };
}
