import { backoff, spread, type Clock } from './clock.js';
import { Credential, type CredentialData } from './credential.js';
import { definitive, type AuthpipeError } from './error.js';
import type { Ref } from './ref.js';

/** How old answers may get. All in milliseconds. */
export interface Ages {
  now: Clock;
  maxAge: number;
  maxStale: number;
  refusalAge: number;
  timeout: number;
}

/**
 * What is known about a ref: a credential, or why there is none. It is shared by all who read it, and its times are by the
 * client's clock.
 */
export interface Answer {
  credential?: Credential;
  error?: AuthpipeError;
  /** When it is dropped: its token has ended, or it was not confirmed for too long. */
  until: number;
  /** When the token ends; Infinity if it does not. */
  ends: number;
  /** How long it stands while no other can be had. */
  limit: number;
  /** When it is to be asked for anew. */
  due: number;
  /** Until when it is not checked, whoever reports it dead. */
  checked: number;
  /** That it is due was noticed by a reader. */
  wanted: boolean;
}

/** What the engine answered about a credential. */
export interface Reply {
  data: CredentialData;
  warnings: readonly string[];
  /** Of the token's life, as the question was sent, in ms; Infinity if it does not end. */
  left: number;
}

/** What is taken off a token's life. Vault's clock tells whole seconds, so that it may be later there than it says. */
const margin = 1000;

/**
 * lifeLeft reckons how long a credential lives from when the question was sent, told by the clock of who answered, at the least:
 * the answer was written later than that. Both are in ms since the epoch.
 */
export function lifeLeft(expiresAt: Date | undefined, answeredAt: number): number {
  return expiresAt === undefined ? Infinity : expiresAt.getTime() - answeredAt - margin;
}

/** fresh is the answer that a reply to a question sent at sent makes. former is what was known before. */
export function fresh(ages: Ages, ref: Ref, reply: Reply, sent: number, former: Credential | undefined): Answer {
  let wait = ages.maxAge;
  if (reply.data.ttl) {
    wait = Math.min(wait, reply.data.ttl * 1000);
  }
  // Later than planned by up to a tenth, so that what came together does not come together again.
  const oldest = wait * 1.1;
  wait = spread(wait, oldest);
  if (reply.left !== Infinity) {
    // What the engine cannot prolong is asked for ever closer to its end.
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

/** checkedAs is until when an answer that comes in another's place is not checked: as long as that, if it is the same token. */
export function checkedAs(former: Answer | undefined, answer: Answer): number {
  return former?.credential && answer.credential?.equals(former.credential) ? former.checked : -Infinity;
}

/**
 * stands reports whether an answer is good while it cannot be renewed: a token until its end, a refusal if it is definitive, and both no
 * longer than maxStale.
 */
export function usable(answer: Answer, now: number): boolean {
  return answer.error ? definitive(answer.error) && now < answer.limit : now < answer.until;
}

/** deferred is an answer that usable, and could not be renewed for the time being. */
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

/** refused is the answer that an error makes. */
export function refused(ages: Ages, error: AuthpipeError, failures: number): Answer {
  const now = ages.now();
  const answer = { error, ends: Infinity, limit: now + ages.refusalAge + ages.maxStale, checked: -Infinity, wanted: false };
  if (definitive(error)) {
    // Half of its age is left for it to be renewed behind those who ask: with `any`, they wait for what they do not want.
    return { ...answer, until: now + ages.refusalAge, due: now + spread(ages.refusalAge / 2, ages.refusalAge * 0.6) };
  }
  // Trouble that passes. All are told of it meanwhile, for a crowd that asks at once would make it worse.
  const wait = spread(backoff(failures) / 2, backoff(failures));
  return { ...answer, until: now + Math.min(wait, ages.refusalAge), due: Infinity };
}
