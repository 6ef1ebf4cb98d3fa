import { unless, within } from './clock.js';
import { AuthpipeError, closed, denied, outage, unknownToken } from './error.js';
import type { Tokens, Verdict } from './login.js';
import type { Transport, VaultRequest, VaultResponse } from './transport.js';

/** Options of a Vault. */
export interface VaultOptions {
  transport: Transport;
  tokens: Tokens;
  /** How long one request may take, in ms, with its retries. */
  timeout: number;
  shutdown: AbortSignal;
}

/** Sends requests to Vault with a token that lives. */
export class Vault {
  readonly #options: VaultOptions;

  constructor(options: VaultOptions) {
    this.#options = options;
  }

  /** ask sends a request. signal ends it, and so does closing the client. */
  async ask<T>(request: VaultRequest, signal?: AbortSignal): Promise<VaultResponse<T>> {
    const { transport, timeout, shutdown } = this.#options;
    if (shutdown.aborted) {
      throw closed(request.op);
    }
    signal?.throwIfAborted();
    try {
      return await within(timeout, [shutdown, signal], async (until) => {
        const token = await this.#token(request.op, until);
        try {
          return await transport.send<T>(request, token, until);
        } catch (error) {
          if (!denied(error)) {
            throw error;
          }
          const { other, dead } = await this.#verdict(token, error, until);
          if (other === undefined) {
            throw dead ? outage(error) : error;
          }
          return await transport.send<T>(request, other, until).catch((again: unknown) => {
            throw denied(again) && unknownToken(again) ? outage(again) : again;
          });
        }
      });
    } catch (error) {
      if (shutdown.aborted) {
        throw closed(request.op);
      }
      signal?.throwIfAborted();
      throw error;
    }
  }

  /** token waits for a token no longer than for the response. A caller that gives up does not end a login that others wait for. */
  #token(op: string, until: AbortSignal): Promise<string> {
    return unless(this.#options.tokens.token(), until).catch((error: unknown) => {
      throw until.aborted ? new AuthpipeError({ op, code: 'unavailable', message: 'logging in to Vault takes too long' }) : outage(error);
    });
  }

  /** verdict finds out whether a policy refused or the token has ended. If that cannot be found out, it is an outage. */
  #verdict(token: string, error: AuthpipeError, until: AbortSignal): Promise<Verdict> {
    return unless(this.#options.tokens.refused(token, unknownToken(error)), until).catch(() => ({ dead: true }));
  }
}
