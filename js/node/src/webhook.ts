import { createHash, timingSafeEqual } from 'node:crypto';

import { report, type Context } from './context.js';
import { AuthpipeError } from './error.js';
import { limited, plain, Refusal } from './guard.js';
import type { Relay } from './handler-options.js';
import { positive } from './options.js';

/** The default and the largest size of a delivery, in bytes. Vault takes strings of up to a megabyte, and the delivery is sent in base64. */
const deliverySize = 256 << 10;
const deliveryLimit = 768 << 10;
/** How many deliveries are relayed at a time. */
const deliveries = 16;

/**
 * webhook receives a provider's deliveries and relays them to the engine as raw bytes. A delivery is signed over its raw bytes, which
 * Vault hands to no plugin, and only the engine has the secret that verifies it. A delivery that the engine has verified gets 200.
 * After any other status Facebook sends it again, for a day and a half.
 */
export function webhook(provider: string): Record<string, (context: Context<Relay>) => Promise<Response>> {
  return { GET: confirm, POST: (context) => relay(context, provider) };
}

/** confirm answers the handshake of a subscription (Meta, "Webhooks, Getting Started"). */
async function confirm({ url, options }: Context): Promise<Response> {
  const query = url.searchParams;
  const expected = options.webhook?.verifyToken;
  const known = Boolean(expected) && same(query.get('hub.verify_token') ?? '', expected ?? '');
  if (query.get('hub.mode') !== 'subscribe' || !known) {
    return plain(403, 'Forbidden\n');
  }
  return plain(200, query.get('hub.challenge') ?? '');
}

/** same compares two secrets in constant time. */
function same(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

async function relay(context: Context<Relay>, provider: string): Promise<Response> {
  const { client, options, request } = context;
  const signature = request.headers.get('x-hub-signature-256') ?? '';
  if (!/^sha256=[0-9a-f]{64}$/i.test(signature)) {
    return plain(400); // without a request to Vault
  }
  let body: Uint8Array;
  try {
    body = await limited(request, Math.min(positive(options.webhook?.maxBytes, deliverySize), deliveryLimit));
  } catch (error) {
    return plain(error instanceof Refusal ? error.status : 400);
  }
  // Counted after the body is read, so that slow senders do not use up the limit.
  if (context.relaying.size >= positive(options.webhook?.parallel, deliveries)) {
    return plain(503);
  }
  context.relaying.add(context);
  try {
    await (options.webhook?.relay ?? client).notify(provider, body, signature);
  } catch (error) {
    const forged = error instanceof AuthpipeError && error.code === 'invalid_request';
    if (!forged) {
      report(context, error);
    }
    return plain(forged ? 400 : 503);
  } finally {
    context.relaying.delete(context);
  }
  try {
    await options.webhook?.onVerified?.(body, provider);
  } catch (error) {
    report(context, error);
    return plain(500);
  }
  return plain(200);
}
