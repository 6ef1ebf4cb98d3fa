import type { Connection } from './connection.js';
import { Refusal } from './guard.js';
import { report, signedIn, type Call } from './handler.js';
import type { SignedIn } from './handler-options.js';
import { page } from './page.js';
import * as returnTo from './return-to.js';
import type { Session } from './session.js';
import { messageOf, viewed, viewOf, type ReturnMessage } from './view.js';

/** What the page has to say, and with which status. */
interface Outcome {
  status: number;
  outcome: ReturnMessage['outcome'];
  connection?: Connection;
  error?: { code: string; message: string };
  session?: Session | undefined;
}

/**
 * finish takes the browser back. It asks anew who is there, and completes the session in their name: whether that is who began is
 * for the engine to say, which fails the session and destroys its code if not.
 */
export async function finish(call: Call): Promise<Response> {
  const id = call.url.searchParams.get('session_id') ?? '';
  const known = /^[A-Za-z0-9_-]{43}$/.test(id);
  const came = await outcome(call, id);
  const message: ReturnMessage = {
    source: 'authpipe',
    sessionId: known ? id : '',
    provider: came.session?.provider ?? '',
    for: came.session?.credentialFor ?? '',
    outcome: came.outcome,
    ...(came.connection ? { connection: viewed(came.connection) } : {}),
    ...(came.error ? { error: came.error } : {}),
  };
  const to = known ? returnTo.kept(call.request, id, call.own) : undefined;
  return page(came.status, message, to, to === undefined ? [] : [returnTo.drop(id, call.own)]);
}

async function outcome(call: Call, id: string): Promise<Outcome> {
  let session: Session | undefined;
  try {
    const who = await signedIn(call);
    session = await call.client.session(who.tenantId, id);
    const connection = await completed(call, who, session);
    await told(call, connection, who);
    return { status: 200, outcome: 'connected', connection, session };
  } catch (error) {
    report(call, error);
    if (error instanceof Declined) {
      return { status: 200, outcome: 'cancelled', error: { code: error.code, message: error.message }, session };
    }
    const { status, view } = viewOf(error);
    return { status, outcome: 'failed', error: view, session };
  }
}

/** told lets the application know. If that fails there is a connection all the same. */
async function told(call: Call, connection: Connection, who: SignedIn): Promise<void> {
  try {
    await call.options.onConnected?.(connection, who);
  } catch (error) {
    report(call, error);
  }
}

/** A Declined is told of apart: nothing is wrong. */
class Declined extends Refusal {}

/** completed completes a session, or finds it completed. */
async function completed({ client, url }: Call, who: SignedIn, session: Session): Promise<Connection> {
  const { sessionId, actor } = session;
  const { tenantId, userId } = who;
  if (session.credentialFor === 'installation' && who.mayInstall !== true && actor === userId) {
    // They might, when they began.
    await client.cancel(tenantId, sessionId).catch(() => undefined);
    throw new Refusal(403, 'forbidden', 'You may not install this app for your organization.');
  }
  const connectCode = url.searchParams.get('connect_code');
  if (connectCode) {
    return client.complete({ tenantId, sessionId, actor: userId, connectCode });
  }
  // The callback has failed it, or completed it. What the URL says of it anybody could have written.
  if (actor !== userId) {
    throw new Refusal(409, 'actor_mismatch', messageOf('actor_mismatch'));
  }
  if (session.status === 'completed') {
    client.forget(session.ref);
    const whose = { provider: session.provider, tenantId };
    return client.connection(session.credentialFor === 'user' ? { ...whose, credentialFor: 'user', userId } : { ...whose, credentialFor: 'installation' });
  }
  const code = session.error?.code ?? (session.status === 'expired' ? 'session_expired' : 'pending');
  if (code === 'access_denied' || code === 'cancelled') {
    throw new Declined(200, code, messageOf(code));
  }
  throw new Refusal(409, code, messageOf(code));
}
