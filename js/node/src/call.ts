import type { Answer, Reply } from './answer.js';
import { unless } from './clock.js';
import type { Credential } from './credential.js';
import { AuthpipeError, closed, definitive } from './error.js';
import type { Ref } from './ref.js';

/**
 * A call is one request to the engine about a ref, shared by all callers that wait for it. A caller that gives up does not end it.
 */
export interface Call {
  readonly ref: Ref;
  readonly background: boolean;
  /** Its result is outdated: run it once more. */
  again: boolean;
  /** The credential that was reported dead since it began, to be checked first. */
  suspect: Credential | undefined;
  /** Undefined if the client was closed. */
  result: Promise<Answer | undefined>;
}

/** The result of a call: the engine's reply, or an error. */
export interface Result {
  reply?: Reply;
  /** When the request was sent. */
  sent: number;
  error?: AuthpipeError;
  /** For how many ms the credential is not checked again. */
  uncheckedFor: number;
  /** The credential that was reported dead, if the check failed for a reason that passes. */
  unchecked?: Credential;
}

/** What a call needs of the engine. */
export interface Engine {
  now(): number;
  /** Reads a credential. No caller waits for what is read in the background. */
  read(ref: Ref, background: boolean): Promise<Reply>;
  /** Has the engine ask the provider about a credential. */
  check(ref: Ref): Promise<void>;
  /** Receives what fails in the background. */
  trouble(error: AuthpipeError, ref: Ref): void;
}

/**
 * How long a check's finding that a token lives stands, in ms, whatever is reported meanwhile: the engine has asked the provider.
 * So all reports of one token make one check.
 */
const trusted = 60_000;

/**
 * How long no further check is made after one that failed, in ms: Vault is restarting, or the provider throttles. Without the
 * pause, repeated reports would add to the load and leave nothing in memory.
 */
const checkPause = 5000;

/**
 * ask has the engine check a suspect credential, and then reads it. If the check finds that there is none, that is the result. If
 * the check is not possible (a policy forbids it, the provider cannot be reached), the credential is read anyway.
 */
export async function ask(engine: Engine, { ref, background }: Call, suspect: Credential | undefined): Promise<Result> {
  const { read, check, now, trouble } = engine;
  const result: Result = { sent: now(), uncheckedFor: 0 };
  try {
    if (suspect && ref.name === undefined) {
      result.uncheckedFor = trusted;
      try {
        await check(ref);
      } catch (error) {
        const why = typed(error);
        if (why.needsReauth || why.code === 'closed') {
          throw why;
        }
        trouble(why, ref);
        if (!definitive(why)) {
          result.uncheckedFor = checkPause;
          result.unchecked = suspect;
        }
      }
    }
    result.sent = now();
    result.reply = await read(ref, background);
  } catch (error) {
    result.error = typed(error);
  }
  return result;
}

/** join waits for the result of a call. signal ends the waiting, and not the call. */
export async function join(call: Call, signal: AbortSignal | undefined): Promise<Answer> {
  const answer = await unless(call.result, signal);
  if (!answer) {
    throw closed();
  }
  return answer;
}

function typed(error: unknown): AuthpipeError {
  if (error instanceof AuthpipeError) {
    return error;
  }
  return new AuthpipeError({ op: 'reading a credential', code: 'unexpected', message: 'the answer cannot be used' });
}
