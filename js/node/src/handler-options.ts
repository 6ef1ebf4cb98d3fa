import type { Connection } from './connection.js';
import type { AskOptions } from './options.js';
import type { ConnectRequest } from './session.js';

/** The person who is signed in to your application at a request, according to your application's own login. */
export interface SignedIn {
  /** The tenant for which the person acts at this request. */
  tenantId: string;
  /** Your application's id of the person: one that cannot be chosen or reused. The person's own credential is stored under it. */
  userId: string;
  /** Whether the person may install the app for the tenant, and remove it. The default is `false`. */
  mayInstall?: boolean | undefined;
}

/** Options of the client's `handler`. */
export interface HandlerOptions {
  /**
   * Returns the person who is signed in at this request, or nothing. It must use your application's own session and nothing else in
   * the request. The handler calls it at each request, so at the start of a connection and again at the return: the engine refuses
   * a return by another person than at the start.
   */
  authenticate(request: Request): SignedIn | null | undefined | Promise<SignedIn | null | undefined>;

  /** The path that all endpoints are below. The default is `/authpipe`. */
  basePath?: string | undefined;
  /**
   * Your application's own origin, as browsers see it: `https://app.example.com`. The configuration's `return_urls` must list it with
   * `/authpipe/return` appended. The default is the origin of each request. Behind a proxy that is another one, so set this.
   */
  origin?: string | undefined;

  /**
   * The scopes that a page may ask for at `start`. The default is none: a start with scopes is then refused. The list does not limit
   * the scopes that `onStart` returns.
   */
  scopes?: readonly string[] | undefined;

  /**
   * The handler calls it before a session begins. It may return another request, or throw an `AuthpipeError` to refuse. Tenant and
   * actor remain those of the signed-in person, and an installation needs `mayInstall`.
   */
  onStart?: ((connect: ConnectRequest, signedIn: SignedIn, request: Request) => ConnectRequest | void | Promise<ConnectRequest | void>) | undefined;
  /** Receives each new connection; again if the browser reloads the callback page. If it throws, `onError` receives the error. */
  onConnected?: ((connection: Connection, signedIn: SignedIn) => void | Promise<void>) | undefined;
  /** Receives each error in full, of which the browser gets only a code and a text. It holds no secret. */
  onError?: ((error: unknown, request: Request) => void) | undefined;

  /** Options of the provider's webhooks. Without them, the handler serves no webhooks. */
  webhook?: WebhookOptions | undefined;
}

/** Relay is the part of a client that hands deliveries to the engine. */
export interface Relay {
  /** Hands a delivery to the engine, which verifies it. It returns how many credentials the delivery has marked. */
  notify(provider: string, body: Uint8Array, signature: string, options?: AskOptions): Promise<number>;
}

/** Options of the provider's webhooks. */
export interface WebhookOptions {
  /** The verify token that was entered in the provider's dashboard. Without it, no subscription is confirmed. */
  verifyToken?: string | undefined;
  /** The client that hands deliveries to the engine, such as one whose token may do only that. The default is the handler's own. */
  relay?: Relay | undefined;
  /**
   * Receives the body of each delivery that the engine has verified, for your application's own use. If it throws, the provider
   * sends the delivery again. Deliveries may come twice, and in any order.
   */
  onVerified?: ((body: Uint8Array, provider: string) => void | Promise<void>) | undefined;
  /**
   * How long the body of a delivery may be, in bytes. A longer one gets 413 and is not written to Vault. The handler cannot verify a
   * signature, so every client on the Internet can make it write that much. The default is 256 KiB; the most is 768 KiB, because Vault's
   * strings are a megabyte, and this is its base64.
   */
  maxBytes?: number | undefined;
  /** How many deliveries are written to Vault at a time. Further ones get 503, and Facebook sends them again. The default is 16. */
  parallel?: number | undefined;
}
