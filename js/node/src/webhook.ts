import { createHash, timingSafeEqual } from 'node:crypto';

import { AuthpipeError } from './error.js';
import { limited, plain, Refusal } from './guard.js';
import { report, type Call } from './handler.js';
import { positive } from './options.js';

/** How long a delivery may be, and at the most: Vault takes strings of up to a megabyte, and that is its base64. */
const deliverySize = 256 << 10;
const deliveryLimit = 768 << 10;
/** How many deliveries are relayed at a time. */
const deliveries = 16;

/**
 * webhook receives a provider's deliveries and relays them to the engine, unread: they are signed over raw bytes, which Vault hands
 * to no plugin, and the engine alone has the secret that verifies them. It answers 200 to what the engine has verified. What is
 * answered otherwise Facebook sends again, for a day and a half.
 */
export function webhook(provider: string): Record<string, (call: Call) => Promise<Response>> {
  return { GET: confirm, POST: (call) => relay(call, provider) };
}

/** confirm answers the handshake of a subscription (Meta, "Webhooks, Getting Started"). */
async function confirm({ url, options }: Call): Promise<Response> {
  const query = url.searchParams;
  const expected = options.webhook?.verifyToken;
  const known = Boolean(expected) && same(query.get('hub.verify_token') ?? '', expected ?? '');
  if (query.get('hub.mode') !== 'subscribe' || !known) {
    return plain(403, 'Forbidden\n');
  }
  return plain(200, query.get('hub.challenge') ?? '');
}

/** same compares two secrets, in a time that does not tell where they differ. */
function same(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

async function relay(call: Call, provider: string): Promise<Response> {
  const { client, options, request } = call;
  const signature = request.headers.get('x-hub-signature-256') ?? '';
  if (!/^sha256=[0-9a-f]{64}$/i.test(signature)) {
    return plain(400); // so that what is no delivery at all does not reach Vault
  }
  let body: Uint8Array;
  try {
    body = await limited(request, Math.min(positive(options.webhook?.maxBytes, deliverySize), deliveryLimit));
  } catch (error) {
    return plain(error instanceof Refusal ? error.status : 400);
  }
  // A sender that is slow to send its body does not count.
  if (call.relaying.size >= positive(options.webhook?.parallel, deliveries)) {
    return plain(503);
  }
  call.relaying.add(call);
  try {
    await (options.webhook?.relay ?? client).notify(provider, body, signature);
  } catch (error) {
    const forged = error instanceof AuthpipeError && error.code === 'invalid_request';
    if (!forged) {
      report(call, error);
    }
    return plain(forged ? 400 : 503);
  } finally {
    call.relaying.delete(call);
  }
  try {
    await options.webhook?.onVerified?.(body, provider);
  } catch (error) {
    report(call, error);
    return plain(500);
  }
  return plain(200);
}
