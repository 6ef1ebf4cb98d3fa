import { unless, within } from './clock.js';
import { AuthpipeError, closed } from './error.js';
import type { Login } from './login.js';
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
          const other = await unless(this.#another(error, token), until).catch(() => undefined);
          if (other === undefined) {
            throw error;
          }
          return await wire.send<T>(question, other, until);
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
      throw until.aborted ? new AuthpipeError({ op, code: 'unavailable', message: 'logging in to Vault takes too long' }) : error;
    });
  }

  /** another returns a token to try once more with, if it was the token's end that is behind a refusal. */
  async #another(error: unknown, token: string): Promise<string | undefined> {
    if (!(error instanceof AuthpipeError) || error.code !== 'permission_denied') {
      return undefined;
    }
    // Where there is no other, the refusal stands.
    return this.#options.login.refused(token).catch(() => undefined);
  }
}
