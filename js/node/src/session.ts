import { createHash } from 'node:crypto';

import { invalid } from './error.js';
import { hideGetters, inspect, redacted } from './redact.js';
import { checked } from './ref.js';
import type { ErrorCode } from './error.js';

/** What may be said of a connection that is to be made, whosever it is to be. */
export interface ConnectOptions {
  /** The authorization server's short name. The default is `facebook`. */
  provider?: string | undefined;
  /** The tenant that will own the credential. */
  tenantId: string;
  /** Where the browser goes in the end; one of the configuration's `return_urls`. */
  returnUrl?: string | undefined;
  /** One of the configuration's `redirect_uris`. The default is the first. */
  redirectUri?: string | undefined;
  /** What to ask for, instead of the configuration's scopes. */
  scopes?: readonly string[] | undefined;
  /** `confirm`, where the configuration says callback; it may only tighten. */
  completion?: 'confirm' | undefined;
  /** Ask again for permissions that were declined. */
  reauthorize?: boolean | undefined;
  /** Let another account of the provider take the place of the one that is connected. */
  allowAccountChange?: boolean | undefined;
  /** `sdk`: the provider's JavaScript SDK opens the dialog (`FB.login`, Embedded Signup) and hands your page the code to complete with. */
  grant?: 'sdk' | undefined;
}

/** What begins to connect the tenant's installation. */
export interface ConnectInstallation extends ConnectOptions {
  /** Whose credential it is to be. */
  credentialFor: 'installation';
  /**
   * Your application's own id of the person who is signed in to it at this moment: never what a request says, nor what was
   * stored. It must be the same person who completes.
   */
  actor: string;
}

/** What begins to connect a person of the tenant. */
export interface ConnectUser extends ConnectOptions {
  /** Whose credential it is to be. */
  credentialFor: 'user';
  /** Your application's id of the person. */
  userId: string;
  /** Who is signed in at this moment. The default is `userId`. */
  actor?: string | undefined;
}

/** What begins a session: one run from the authorization URL to the stored credential. */
export type ConnectRequest = ConnectInstallation | ConnectUser;

/**
 * A session that has begun. Its URL has the session's state in it, and a user code is as good: so they show as `[redacted]`
 * wherever it is printed or serialized.
 */
export class StartedSession {
  readonly #authorizationUrl: string;
  readonly #state: string;

  /** The session's id. */
  readonly sessionId: string;
  /** When it ends, if it is not finished. */
  readonly expiresAt: Date;
  /** `confirm`, and the session is to be completed, or `callback`, and the provider's answer completes it. */
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

  /** With `grant: 'sdk'`, in place of the URL: what to complete with, beside the code. */
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

/** A session that has begun where there is no browser: the person types in a code on another device. */
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

  /** What the person types in. */
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

/** StartedData is what connect/ answers. */
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

/** What every completion says. */
interface CompleteOptions {
  /** The tenant of the session. */
  tenantId: string;
  /**
   * Your application's own id of the person who is signed in to it now, again never what a request says or what was stored at
   * the start. If it is somebody else than at the start, somebody followed a link that was not made for them: the engine fails
   * the session with `actor_mismatch`, and destroys the code.
   */
  actor: string;
}

/** The proof is what the callback page handed to the return URL, or showed. */
export interface CompleteWithCode extends CompleteOptions {
  /** The session's id. */
  sessionId: string;
  /** The proof. */
  connectCode: string;
}

/** The proof is what the provider sent to an application that hosts the redirect URI itself. */
export interface CompleteWithAnswer extends CompleteOptions {
  /** The query as the provider sent it, with `state` and `code`, or `error`. */
  answer: URLSearchParams;
}

/** The provider is asked whether the person has approved the device. */
export interface CompleteDevice extends CompleteOptions {
  /** The session's id. */
  sessionId: string;
}

/** The end of a session, as the application confirms it. */
export type CompleteRequest = CompleteWithCode | CompleteWithAnswer | CompleteDevice;

/** How far a session is. */
export type SessionStatus = 'pending' | 'authorized' | 'redeeming' | 'completed' | 'failed' | 'expired';

/** The state of one run. */
export interface Session {
  /** The session's id. */
  sessionId: string;
  /** What it connects. */
  ref: string;
  /** The authorization server's short name. */
  provider: string;
  /** Whose credential it is to be. */
  credentialFor: 'installation' | 'user';
  /** How far it is. */
  status: SessionStatus;
  /** Who began it: your application's own id of that person. */
  actor: string;
  /** What is asked for. */
  scopes: string[];
  /** When it was begun. */
  createdAt: Date;
  /** When it ends, if it is not finished. */
  expiresAt: Date;
  /** Why it failed. */
  error?: { code: ErrorCode | 'interrupted' | 'cancelled'; message: string };
}

/** SessionData is what sessions/ answers. */
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

/** Returns the id of the session that a provider's `state` belongs to. What a browser appends to a URL (`#_=_`) is no part of it. */
export function sessionOf(state: string): string {
  return createHash('sha256').update(state.replace(/#.*/s, '')).digest('base64url');
}

/** sessionPath refuses what could lead elsewhere: a session's id may come from a URL that anybody can type. */
export function sessionPath(tenantId: string, sessionId: string): string {
  const tenant = checked('tenantId', tenantId, 64, '._-');
  if (typeof sessionId !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(sessionId)) {
    throw invalid('sessionId', 'is not the id of a session');
  }
  return `sessions/${tenant}/${sessionId}`;
}

/** What the engine takes of a provider's answer. */
const answerFields = ['state', 'code', 'error', 'error_reason', 'error_description', 'error_code', 'error_message'];

/** completionBody is what is written to complete. */
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

/** connectBody is what is written to connect/. */
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
