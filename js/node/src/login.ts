import { readFile } from 'node:fs/promises';

import type { VaultAuth } from './auth.js';
import { reasonOf } from './cause.js';
import { backoff, later, spread, unless, within, type Clock } from './clock.js';
import { AuthpipeError, closed, denied, unknownToken } from './error.js';
import type { Auth, Transport } from './transport.js';

/** Options of a login. */
export interface LoginOptions {
  transport: Transport;
  auth: VaultAuth;
  now: Clock;
  /** How long one request to Vault may take, in ms. */
  timeout: number;
  shutdown: AbortSignal;
  /** Receives what fails in the background. */
  trouble(error: AuthpipeError): void;
}

/**
 * How long Vault's statement about a token stands, in ms, and how long a refusal leads to no further login. It is short, because a
 * token that is revoked meanwhile takes everything out of service for so long.
 */
const believed = 5000;

/** The interval at which a token is replaced that may not be looked up, in ms: the first and the longest. */
const replacing = { least: 60_000, most: 60 * 60_000 };

/** Why Vault refused a request: because of the token, or by a policy. */
export interface Verdict {
  /** Another token to send it with. */
  other?: string;
  /** Whether the token has ended. */
  dead: boolean;
}

/** What requests need of a login. */
export interface Tokens {
  /** Returns a token that has not ended. */
  token(): Promise<string>;
  /** Finds out why Vault refused a request that was sent with token. unknown says that Vault did not know the token. */
  refused(token: string, unknown: boolean): Promise<Verdict>;
}

const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Logs in to Vault, and renews or replaces the token. */
export class Login implements Tokens {
  readonly #options: LoginOptions;
  #token: string | undefined;
  #until = Infinity; // when the token ends, by the client's clock
  #first = 0; // the length of its first lease
  #renewable = false;
  /** What the last lookup found out about the token, and until when that stands. */
  #judged = { dead: false, until: -Infinity };
  /** Whether a lookup has succeeded. Then policies allow it, and a refused lookup means that the token has ended. */
  #visible = false;
  /** Until when a token that may not be looked up is not replaced again, and the interval. */
  #replaced = { wait: 0, until: -Infinity };
  /** A token that Vault does not know any more. */
  #ended: string | undefined;
  readonly #revoking = new Set<Promise<unknown>>();
  #failures = 0;
  /** The error of the last login, and until when it is returned without another login. */
  #failed: { error: unknown; until: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #entering: Promise<string> | undefined;
  #inquiry: Promise<Verdict> | undefined;

  constructor(options: LoginOptions) {
    this.#options = options;
  }

  /** token returns a token that lives. All callers that wait for a new one share the login. */
  token(): Promise<string> {
    if (this.#token !== undefined && this.#options.now() < this.#until) {
      return Promise.resolve(this.#token);
    }
    return this.#enter();
  }

  /**
   * refused finds out why Vault refused a request that was sent with token: a policy forbids it, or the token has ended. unknown
   * says that Vault did not know the token. All refused requests share one lookup.
   */
  async refused(token: string, unknown: boolean): Promise<Verdict> {
    const { auth, now } = this.#options;
    if (this.#token !== undefined && this.#token !== token) {
      return { other: this.#token, dead: true };
    }
    if (auth.method === 'token') {
      const next = await this.#enter();
      if (next !== token) {
        return { other: next, dead: true };
      }
    }
    if (now() < this.#judged.until) {
      return { dead: unknown || this.#judged.dead };
    }
    this.#inquiry ??= this.#inquire(token, unknown).finally(() => {
      this.#inquiry = undefined;
    });
    return this.#inquiry;
  }

  async #inquire(token: string, unknown: boolean): Promise<Verdict> {
    const state = unknown ? 'dead' : await this.#lookUp(token);
    const verdict: Verdict = { dead: state === 'dead' };
    if (this.#options.auth.method !== 'token' && (state === 'dead' || (state === 'hidden' && this.#options.now() >= this.#replaced.until))) {
      this.#ended = state === 'dead' ? token : undefined;
      const next = await this.#enter(); // if that fails, the refusal is an outage
      if (state === 'hidden') {
        const wait = Math.min(this.#replaced.wait * 2 || replacing.least, replacing.most);
        this.#replaced = { wait, until: this.#options.now() + wait };
        await this.#lookUp(next); // shows whether tokens of this role may be looked up
      }
      if (next !== token) {
        verdict.other = next;
      }
    }
    this.#judged = { dead: verdict.dead && verdict.other === undefined, until: this.#options.now() + believed };
    return verdict;
  }

  /**
   * lookUp asks Vault about a token. A token whose lookup is refused, without a word that it is unknown, may live: a role's tokens
   * may have no policy to look themselves up (`token_no_default_policy`). It is hidden. lookUp throws if Vault cannot be asked.
   */
  async #lookUp(token: string): Promise<'alive' | 'dead' | 'hidden'> {
    try {
      await within(this.#options.timeout, [this.#options.shutdown], (signal) => this.#options.transport.send(lookup, token, signal));
      this.#visible = true;
      return 'alive';
    } catch (error) {
      if (!denied(error)) {
        throw error;
      }
      return unknownToken(error) || this.#visible ? 'dead' : 'hidden';
    }
  }

  /** leave ends the renewals, and revokes a token that the client has logged in for: no other program has it. */
  async leave(): Promise<void> {
    clearTimeout(this.#timer);
    const token = this.#token;
    this.#token = undefined;
    if (token !== undefined) {
      this.#revoke(token);
    }
    await Promise.all(this.#revoking);
  }

  /** revoke revokes a token that the client has logged in for. If that fails, the token ends by itself. */
  #revoke(token: string): void {
    if (this.#options.auth.method === 'token') {
      return;
    }
    const revocation = { op: 'revoking the own token', method: 'POST', path: 'auth/token/revoke-self', retries: 0 } as const;
    const revoking = within(2000, [], (signal) => this.#options.transport.send(revocation, token, signal))
      .catch(() => undefined)
      .finally(() => this.#revoking.delete(revoking));
    this.#revoking.add(revoking);
  }

  #enter(): Promise<string> {
    if (this.#failed && this.#options.now() < this.#failed.until) {
      return Promise.reject(this.#failed.error);
    }
    this.#entering ??= this.#attempt().finally(() => {
      this.#entering = undefined;
    });
    return this.#entering;
  }

  /**
   * attempt logs in, and records a failure: the next caller must not try at once, because Vault locks out a client that fails too
   * often.
   */
  async #attempt(): Promise<string> {
    try {
      const token = await this.#admit();
      this.#failed = undefined;
      return token;
    } catch (error) {
      const wait = backoff(++this.#failures);
      this.#failed = { error, until: this.#options.now() + spread(wait / 2, wait) };
      throw error;
    }
  }

  /** bounded limits the waiting for a secret to that for Vault. */
  async #bounded<T>(secret: Promise<T>): Promise<T> {
    const { timeout, shutdown } = this.#options;
    return within(timeout, [shutdown], async (until) => unless(secret, until).catch((error: unknown) => {
      throw until.aborted ? new AuthpipeError({ op: 'logging in to Vault', code: 'unavailable', message: 'the function that returns the secret takes too long' }) : error;
    }));
  }

  async #admit(): Promise<string> {
    const { auth, shutdown } = this.#options;
    if (auth.method === 'token') {
      const token = await this.#bounded(given(auth.token));
      if (token !== this.#token) {
        this.#token = token;
        this.#until = Infinity;
        void this.#look(token);
      }
      return token;
    }
    const sent = this.#options.now();
    const answered = await this.#ask('logging in to Vault', `auth/${mountOf(auth)}/login`, await this.#bounded(proof(auth)), undefined);
    if (shutdown.aborted) {
      throw closed();
    }
    if (!answered.auth?.client_token) {
      throw new AuthpipeError({ op: 'logging in to Vault', code: 'unexpected', message: 'the answer has no token in it' });
    }
    const former = this.#token;
    const lives = former !== undefined && former !== this.#ended && this.#options.now() < this.#until;
    this.#token = answered.auth.client_token;
    this.#hold(answered.auth, sent, true);
    if (lives) {
      this.#revoke(former);
    }
    return this.#token;
  }

  /** look finds out how long a given token lives. A token that may not look itself up is used as it is. */
  async #look(token: string): Promise<void> {
    const sent = this.#options.now();
    try {
      const { data } = await within(this.#options.timeout, [this.#options.shutdown], (signal) =>
        this.#options.transport.send<{ ttl?: number; renewable?: boolean }>(lookup, token, signal));
      this.#visible = true;
      if (token === this.#token) {
        this.#hold({ client_token: token, lease_duration: data.ttl ?? 0, renewable: data.renewable ?? false }, sent, true);
      }
    } catch {
      // Vault refuses it later if it is not valid.
    }
  }

  /** hold records when the token ends, and plans its renewal well before. */
  #hold(auth: Auth, sent: number, begins: boolean): void {
    const lease = auth.lease_duration * 1000;
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#failed = undefined;
    this.#renewable = auth.renewable;
    if (begins) {
      this.#first = lease;
    }
    if (lease === 0) { // it does not end
      this.#until = Infinity;
      return;
    }
    this.#until = sent + lease;
    this.#plan(spread(lease / 2, (lease * 2) / 3));
  }

  #plan(wait: number): void {
    clearTimeout(this.#timer);
    if (!this.#options.shutdown.aborted) {
      this.#timer = later(wait, () => void this.#renew());
    }
  }

  async #renew(): Promise<void> {
    const token = this.#token;
    if (token === undefined || this.#options.shutdown.aborted) {
      return;
    }
    try {
      if (!this.#renewable || !(await this.#prolong(token))) {
        await this.#enter();
      }
    } catch (error) {
      if (error instanceof AuthpipeError && !this.#options.shutdown.aborted) {
        this.#options.trouble(error);
      }
      // attempt has counted a login that failed.
      const wait = backoff(this.#failed ? this.#failures : ++this.#failures);
      const left = this.#until - this.#options.now();
      if (left > 0) { // after its end the next caller logs in
        this.#plan(Math.min(spread(wait / 2, wait), left));
      }
    }
  }

  /** prolong renews the token, and returns whether that was worth it: near its maximum TTL each renewal is shorter. */
  async #prolong(token: string): Promise<boolean> {
    const sent = this.#options.now();
    try {
      const { auth } = await this.#ask('renewing the token of Vault', 'auth/token/renew-self', {}, token);
      if (!auth || token !== this.#token) {
        return token !== this.#token;
      }
      this.#hold(auth, sent, false);
      return this.#options.auth.method === 'token' || auth.lease_duration * 1000 > this.#first / 2;
    } catch (error) {
      if (error instanceof AuthpipeError && error.code !== 'unavailable' && error.code !== 'throttled') {
        return false;
      }
      throw error;
    }
  }

  async #ask(op: string, path: string, body: unknown, token: string | undefined) {
    const { transport, timeout, shutdown } = this.#options;
    try {
      return await within(timeout, [shutdown], (signal) => transport.send({ op, method: 'POST', path, body }, token, signal));
    } catch (error) {
      if (error instanceof AuthpipeError && error.status !== undefined && error.status < 500 && error.code !== 'throttled' && error.code !== 'unavailable') {
        // A secret id that has ended is a 400, and means as a 403 does that Vault does not accept the client.
        throw new AuthpipeError({ op, code: 'permission_denied', status: error.status, message: error.detail });
      }
      throw error;
    }
  }
}

const lookup = { op: 'looking up the own token', method: 'GET', path: 'auth/token/lookup-self' } as const;

type LoggingIn = Exclude<VaultAuth, { method: 'token' }>;

function mountOf(auth: LoggingIn): string {
  return (auth.mount ?? auth.method).replace(/^\/+|\/+$/g, '');
}

async function proof(auth: LoggingIn): Promise<Record<string, string | undefined>> {
  switch (auth.method) {
    case 'approle':
      return { role_id: auth.roleId, secret_id: auth.secretId === undefined ? undefined : await given(auth.secretId) };
    case 'jwt':
      return { role: auth.role, jwt: await given(auth.jwt) };
    case 'kubernetes':
      return { role: auth.role, jwt: await given(auth.jwt ?? (() => readFile(serviceAccount, 'utf8'))) };
  }
}

/** given returns a secret, which may come from a function. A secret from a file may end in a newline. */
async function given(secret: string | (() => string | Promise<string>)): Promise<string> {
  try {
    return (typeof secret === 'string' ? secret : await secret()).trim();
  } catch (error) {
    const why = reasonOf(error);
    throw new AuthpipeError({ op: 'logging in to Vault', code: 'unavailable', message: `the function that returns the secret has failed${why ? `: ${why.text}` : ''}` });
  }
}
