import { Refusal } from './guard.js';
import type { HandlerOptions, SignedIn } from './handler-options.js';

/** Context is one request to the handler. Client is the part of the client that an endpoint uses; each endpoint declares its own. */
export interface Context<Client = unknown> {
  client: Client;
  options: HandlerOptions;
  request: Request;
  url: URL;
  /** The application's own origin. */
  own: string;
  /** The path that the endpoints are below. */
  base: string;
  /** The requests whose deliveries are being written to Vault, over all of this handler. */
  relaying: Set<Context>;
}

/** report passes an error to the application's onError, unless it is the handler's own Refusal. */
export function report({ options, request }: Context, error: unknown): void {
  if (error instanceof Refusal) {
    return;
  }
  try {
    options.onError?.(error, request);
  } catch {
    // The response does not depend on onError.
  }
}

/**
 * signedIn returns the person that the application finds signed in. It refuses one without an id: all such people would share one
 * identity.
 */
export async function signedIn({ options, request }: Context): Promise<SignedIn> {
  const who = await options.authenticate(request);
  if (!who || ![who.tenantId, who.userId].every((id) => typeof id === 'string' && id !== '')) {
    throw new Refusal(401, 'unauthenticated', 'Nobody is signed in.');
  }
  return who;
}
