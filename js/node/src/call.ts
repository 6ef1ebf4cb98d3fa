import type { Answer, Reply } from './answer.js';
import { unless } from './clock.js';
import type { Credential } from './credential.js';
import { AuthpipeError, closed, definitive } from './error.js';
import type { Ref } from './ref.js';

/**
 * A call is one question to the engine about a ref, shared by all who want to know. It belongs to none of them: who gives up
 * waiting does not end it.
 */
export interface Call {
  readonly ref: Ref;
  readonly background: boolean;
  /** What it brings is of before something happened: ask once more. */
  again: boolean;
  /** What was reported dead since: to be checked first. */
  suspect: Credential | undefined;
  /** Undefined: the client was closed. */
  result: Promise<Answer | undefined>;
}

/** What a call brings: a reply to a question, or an error. */
export interface Result {
  reply?: Reply;
  /** When the question was sent. */
  sent: number;
  error?: AuthpipeError;
  /** For how long it is not to be checked (again). */
  uncheckedFor: number;
  /** What was reported dead, and could not be checked for the time being. */
  unchecked?: Credential;
}

/** What a call asks with. */
export interface Engine {
  now(): number;
  /** Asks the engine for a credential. Nobody waits for what is asked in the background. */
  read(ref: Ref, background: boolean): Promise<Reply>;
  /** Has the engine ask the provider about a credential. */
  check(ref: Ref): Promise<void>;
  /** Is told what fails in the background. */
  trouble(error: AuthpipeError, ref: Ref): void;
}

/**
 * For how long the engine's word is taken that a token lives, whatever else is heard: it has asked the provider. A crowd that
 * reports the same token makes one check.
 */
const trusted = 60_000;

/**
 * For how long nobody is asked again where the check failed: Vault is restarting, or the provider throttles. What a crowd goes on
 * reporting meanwhile would make it worse, and leave nothing in memory.
 */
const checkPause = 5000;

/**
 * ask has the engine check what is suspect, and then asks it for the credential. Where the check tells that there is none, that
 * is the answer. Where the check is not possible (no policy lets it, the provider is away) the credential is asked for all the
 * same.
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

/** result waits for what a call brings. signal ends the waiting. */
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
