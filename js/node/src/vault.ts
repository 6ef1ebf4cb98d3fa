import { unless, within } from './clock.js';
import { AuthpipeError, closed, denied, outage, unknownToken } from './error.js';
import type { Login, Verdict } from './login.js';
import type { Answer, Question, Wire } from './wire.js';

/** What a Vault is made of. */
export interface VaultOptions {
  wire: Wire;
  login: Login;
  /** How long one question may take, with what is tried again. */
  timeout: number;
  life: AbortSignal;
}

/** A vault is asked with a token that lives. */
export class Vault {
  readonly #options: VaultOptions;

  constructor(options: VaultOptions) {
    this.#options = options;
  }

  /** ask sends a question. signal ends it, as the end of the client does. */
  async ask<T>(question: Question, signal?: AbortSignal): Promise<Answer<T>> {
    const { wire, timeout, life } = this.#options;
    if (life.aborted) {
      throw closed(question.op);
    }
    signal?.throwIfAborted();
    try {
      return await within(timeout, [life, signal], async (until) => {
        const token = await this.#token(question.op, until);
        try {
          return await wire.send<T>(question, token, until);
        } catch (error) {
          if (!denied(error)) {
            throw error;
          }
          const { other, dead } = await this.#verdict(token, error, until);
          if (other === undefined) {
            throw dead ? outage(error) : error;
          }
          return await wire.send<T>(question, other, until).catch((again: unknown) => {
            throw denied(again) && unknownToken(again) ? outage(again) : again;
          });
        }
      });
    } catch (error) {
      if (life.aborted) {
        throw closed(question.op);
      }
      signal?.throwIfAborted();
      throw error;
    }
  }

  /** token waits for one as long as for the answer. Who gives up does not end a login that others wait for. */
  #token(op: string, until: AbortSignal): Promise<string> {
    return unless(this.#options.login.token(), until).catch((error: unknown) => {
      throw until.aborted ? new AuthpipeError({ op, code: 'unavailable', message: 'logging in to Vault takes too long' }) : outage(error);
    });
  }

  /** verdict distinguishes a policy's refusal from a token that has ended. If that cannot be found out, it is an outage. */
  #verdict(token: string, error: AuthpipeError, until: AbortSignal): Promise<Verdict> {
    return unless(this.#options.login.refused(token, unknownToken(error)), until).catch(() => ({ dead: true }));
  }
}
