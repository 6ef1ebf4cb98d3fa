import type { Authpipe } from './authpipe.js';
import type { Connection } from './connection.js';
import type { ConnectRequest } from './session.js';

/** Who is signed in to your application at a request, as your application's own login says. */
export interface SignedIn {
  /** The tenant for which they act at this request. */
  tenantId: string;
  /** Your application's id of the person: the one that cannot be chosen or reused. Their own credential is kept under it. */
  userId: string;
  /** Whether they may install the app for the tenant, and remove it. The default is `false`. */
  mayInstall?: boolean | undefined;
}

/** How the handler of {@link Authpipe.handler} behaves. */
export interface HandlerOptions {
  /**
   * Returns who is signed in at this request, or nothing. It must go by your application's own session and by nothing else in
   * the request. It is asked anew at each request, at the start of a connection and again at the return: the engine refuses the
   * return of anybody but who began.
   */
  authenticate(request: Request): SignedIn | null | undefined | Promise<SignedIn | null | undefined>;

  /** The path that everything is served under. The default is `/authpipe`. */
  basePath?: string | undefined;
  /**
   * Your application's own origin, as browsers know it: `https://app.example.com`. With `/authpipe/return` behind it, it must stand
   * among the configuration's `return_urls`. The default is the origin of each request, which behind a proxy is not the same.
   */
  origin?: string | undefined;

  /**
   * The scopes that a page may ask for at `start`. The default is none: a start with scopes is refused then. What `onStart` returns
   * is not held to the list.
   */
  scopes?: readonly string[] | undefined;

  /**
   * Is called before a session begins. It may return another request, or throw an {@link AuthpipeError} to refuse. Tenant and actor
   * stay those of the signed-in person, and an installation needs `mayInstall`.
   */
  onStart?: ((connect: ConnectRequest, signedIn: SignedIn, request: Request) => ConnectRequest | void | Promise<ConnectRequest | void>) | undefined;
  /** Is told of each connection that was made; again if the page of the return is loaded again. If it throws, `onError` is told. */
  onConnected?: ((connection: Connection, signedIn: SignedIn) => void | Promise<void>) | undefined;
  /** Is told what went wrong: what the browser is told is less. It holds no secret. */
  onError?: ((error: unknown, request: Request) => void) | undefined;

  /** The provider's webhooks. Without it they are not served. */
  webhook?: WebhookOptions | undefined;
}

/** How webhooks are received. */
export interface WebhookOptions {
  /** What was entered in the provider's dashboard as the verify token. Without it nobody's subscription is confirmed. */
  verifyToken?: string | undefined;
  /** The client that hands deliveries to the engine, if it is not the handler's own: one whose token may do nothing else. */
  relay?: Pick<Authpipe, 'notify'> | undefined;
  /**
   * Is given the body of each delivery that the engine has verified, for what your application itself does with it. If it throws,
   * the provider sends it again. Deliveries may come twice, and in any order.
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
