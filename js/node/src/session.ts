import { createHash } from 'node:crypto';

import { invalid } from './error.js';
import { hideGetters, inspect, redacted } from './redact.js';
import { checked } from './ref.js';
import type { ErrorCode } from './error.js';

/** Options of `connect` for installations and users alike. */
export interface ConnectOptions {
  /** The authorization server's short name. The default is `facebook`. */
  provider?: string | undefined;
  /** The tenant that will own the credential. */
  tenantId: string;
  /** Where the browser goes at the end; one of the configuration's `return_urls`. */
  returnUrl?: string | undefined;
  /** One of the configuration's `redirect_uris`. The default is the first. */
  redirectUri?: string | undefined;
  /** The scopes to ask for, instead of the configuration's. */
  scopes?: readonly string[] | undefined;
  /** `confirm`, where the configuration has `callback`. The other direction is refused. */
  completion?: 'confirm' | undefined;
  /** Ask again for permissions that were declined. */
  reauthorize?: boolean | undefined;
  /** Let another account of the provider replace the connected one. */
  allowAccountChange?: boolean | undefined;
  /** `sdk`: the provider's JavaScript SDK opens the dialog (`FB.login`, Embedded Signup) and hands your page the code to complete with. */
  grant?: 'sdk' | undefined;
}

/** A request to connect the tenant's installation. */
export interface ConnectInstallation extends ConnectOptions {
  /** The kind of the credential. */
  credentialFor: 'installation';
  /**
   * Your application's own id of the person who is signed in now: never from the request, and never a stored one. It must be the
   * same person who completes.
   */
  actor: string;
}

/** A request to connect a person of the tenant. */
export interface ConnectUser extends ConnectOptions {
  /** The kind of the credential. */
  credentialFor: 'user';
  /** Your application's id of the person. */
  userId: string;
  /** The person who is signed in now. The default is `userId`. */
  actor?: string | undefined;
}

/** A request that begins a session: one run from the authorization URL to the stored credential. */
export type ConnectRequest = ConnectInstallation | ConnectUser;

/**
 * A session that has begun. Its URL has the session's state in it, so it shows as `[redacted]` wherever it is logged or serialized.
 */
export class StartedSession {
  readonly #authorizationUrl: string;
  readonly #state: string;

  /** The session's id. */
  readonly sessionId: string;
  /** When it ends, if it is not finished. */
  readonly expiresAt: Date;
  /** `confirm`: the application completes the session. `callback`: the provider's answer completes it. */
  readonly completion: 'confirm' | 'callback';

  /** Made by the client. */
  constructor(data: StartedData) {
    this.#authorizationUrl = data.authorization_url ?? '';
    this.#state = data.state ?? '';
    this.sessionId = data.session_id;
    this.expiresAt = new Date(data.expires_at);
    this.completion = data.completion;
  }

  /** Where to send the person's browser. */
  get authorizationUrl(): string {
    return this.#authorizationUrl;
  }

  /** With `grant: 'sdk'`, instead of the URL: the state to complete with, beside the code. */
  get state(): string {
    return this.#state;
  }

  /** The session without its URL. */
  toJSON(): Record<string, unknown> {
    return { ...(this as object), authorizationUrl: redacted, state: redacted };
  }

  /** What `console.log` shows. */
  [inspect](_depth: number, options: unknown, show: (value: unknown, options: unknown) => string): string {
    return `StartedSession ${show(this.toJSON(), options)}`;
  }
}

hideGetters(StartedSession);

/** A session that has begun on a device without a browser: the person types a code in on another device. */
export class StartedDevice {
  readonly #userCode: string;

  /** The session's id. */
  readonly sessionId: string;
  /** When it ends, if it is not finished. */
  readonly expiresAt: Date;
  /** Where the person types in the code. */
  readonly verificationUri: string;
  /** After how many seconds `complete` may be called, and called again while it throws `pending`. */
  readonly interval: number;

  /** Made by the client. */
  constructor(data: StartedData) {
    this.#userCode = data.user_code ?? '';
    this.sessionId = data.session_id;
    this.expiresAt = new Date(data.expires_at);
    this.verificationUri = data.verification_uri ?? '';
    this.interval = data.interval ?? 5;
  }

  /** The code that the person types in. */
  get userCode(): string {
    return this.#userCode;
  }

  /** The session without its code. */
  toJSON(): Record<string, unknown> {
    return { ...(this as object), userCode: redacted };
  }

  /** What `console.log` shows. */
  [inspect](_depth: number, options: unknown, show: (value: unknown, options: unknown) => string): string {
    return `StartedDevice ${show(this.toJSON(), options)}`;
  }
}

hideGetters(StartedDevice);

/** The answer of connect/. */
export interface StartedData {
  session_id: string;
  expires_at: string;
  completion: 'confirm' | 'callback';
  authorization_url?: string;
  state?: string;
  user_code?: string;
  verification_uri?: string;
  interval?: number;
}

/** Fields of every completion. */
interface CompleteOptions {
  /** The tenant of the session. */
  tenantId: string;
  /**
   * Your application's own id of the person who is signed in now: never from the request, and never the one that was stored at the
   * start. If another person follows a link that was not made for them, the engine fails the session with `actor_mismatch` and
   * destroys the code.
   */
  actor: string;
}

/** The proof is the connect code that the callback page passed to the return URL, or showed. */
export interface CompleteWithCode extends CompleteOptions {
  /** The session's id. */
  sessionId: string;
  /** The proof. */
  connectCode: string;
}

/** The proof is the provider's answer, from an application that hosts the redirect URI itself. */
export interface CompleteWithAnswer extends CompleteOptions {
  /** The query as the provider sent it, with `state` and `code`, or `error`. */
  answer: URLSearchParams;
}

/** A session on a device. The engine asks the provider whether the person has approved it. */
export interface CompleteDevice extends CompleteOptions {
  /** The session's id. */
  sessionId: string;
}

/** A request to complete a session. */
export type CompleteRequest = CompleteWithCode | CompleteWithAnswer | CompleteDevice;

/** The status of a session. */
export type SessionStatus = 'pending' | 'authorized' | 'redeeming' | 'completed' | 'failed' | 'expired';

/** The state of a session. */
export interface Session {
  /** The session's id. */
  sessionId: string;
  /** The ref that it connects. */
  ref: string;
  /** The authorization server's short name. */
  provider: string;
  /** The kind of the credential. */
  credentialFor: 'installation' | 'user';
  /** Its status. */
  status: SessionStatus;
  /** The person who began it: your application's own id. */
  actor: string;
  /** The scopes that are asked for. */
  scopes: string[];
  /** When it began. */
  createdAt: Date;
  /** When it ends, if it is not finished. */
  expiresAt: Date;
  /** Why it failed. */
  error?: { code: ErrorCode | 'interrupted' | 'cancelled'; message: string };
}

/** The answer of sessions/. */
export interface SessionData {
  session_id: string;
  ref: string;
  provider: string;
  credential_for: Session['credentialFor'];
  status: SessionStatus;
  actor: string;
  scopes?: string[] | null;
  created_at: string;
  expires_at: string;
  error?: NonNullable<Session['error']>['code'];
  error_description?: string;
}

/** sessionFrom reads the engine's answer. */
export function sessionFrom(data: SessionData): Session {
  return {
    sessionId: data.session_id,
    ref: data.ref,
    provider: data.provider,
    credentialFor: data.credential_for,
    status: data.status,
    actor: data.actor,
    scopes: data.scopes ?? [],
    createdAt: new Date(data.created_at),
    expiresAt: new Date(data.expires_at),
    ...(data.error ? { error: { code: data.error, message: data.error_description ?? '' } } : {}),
  };
}

/** Returns the id of the session of a provider's `state`. It ignores what a browser appends to a URL (`#_=_`). */
export function sessionOf(state: string): string {
  return createHash('sha256').update(state.replace(/#.*/s, '')).digest('base64url');
}

/**
 * sessionPath returns a session's path. It refuses an id that could lead elsewhere, because ids may come from a URL that anyone can
 * write.
 */
export function sessionPath(tenantId: string, sessionId: string): string {
  const tenant = checked('tenantId', tenantId, 64, '._-');
  if (typeof sessionId !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(sessionId)) {
    throw invalid('sessionId', 'is not the id of a session');
  }
  return `sessions/${tenant}/${sessionId}`;
}

/** The parameters of a provider's answer that the engine takes. */
const answerFields = ['state', 'code', 'error', 'error_reason', 'error_description', 'error_code', 'error_message'];

/** completionBody returns the fields to write to complete. */
export function completionBody(request: CompleteRequest): Record<string, string> {
  const body: Record<string, string> = { actor: request.actor };
  if ('connectCode' in request) {
    body.connect_code = request.connectCode;
  }
  if ('answer' in request) {
    for (const name of answerFields) {
      const value = request.answer.get(name);
      if (value !== null) {
        body[name] = value;
      }
    }
  }
  return body;
}

/** connectBody returns the fields to write to connect/. */
export function connectBody(request: ConnectRequest & { device?: boolean | undefined }): Record<string, unknown> {
  return {
    actor: request.actor,
    return_url: request.returnUrl,
    redirect_uri: request.redirectUri,
    completion: request.completion,
    scopes: request.scopes?.length ? request.scopes : undefined,
    reauthorize: request.reauthorize || undefined,
    allow_account_change: request.allowAccountChange || undefined,
    grant: request.device ? 'device' : request.grant,
  };
}
