import { report, signedIn, type Context } from './context.js';
import type { Connection } from './connection.js';
import { Refusal } from './guard.js';
import type { SignedIn } from './handler-options.js';
import { page } from './page.js';
import type { InstallationRequest, UserRequest } from './request.js';
import * as returnTo from './return-to.js';
import type { CompleteWithCode, Session } from './session.js';
import { messageOf, viewed, viewOf, type ReturnMessage } from './view.js';

/** What the return needs of the client. */
export interface ReturnClient {
  session(tenantId: string, sessionId: string): Promise<Session>;
  complete(request: CompleteWithCode): Promise<Connection>;
  cancel(tenantId: string, sessionId: string): Promise<void>;
  connection(request: InstallationRequest | UserRequest): Promise<Connection>;
  forget(ref: string): void;
}

type ReturnContext = Context<ReturnClient>;

/** The content of the page, and the response's status. */
interface Outcome {
  status: number;
  outcome: ReturnMessage['outcome'];
  connection?: Connection;
  error?: { code: string; message: string };
  session?: Session | undefined;
}

/**
 * finish serves the page that the browser returns to. It asks the application again for the person who is signed in, and completes
 * the session for them. If another person began the session, the engine fails it and destroys its code.
 */
export async function finish(context: ReturnContext): Promise<Response> {
  const id = context.url.searchParams.get('session_id') ?? '';
  const known = /^[A-Za-z0-9_-]{43}$/.test(id);
  const came = await outcome(context, id);
  const message: ReturnMessage = {
    source: 'authpipe',
    sessionId: known ? id : '',
    provider: came.session?.provider ?? '',
    for: came.session?.credentialFor ?? '',
    outcome: came.outcome,
    ...(came.connection ? { connection: viewed(came.connection) } : {}),
    ...(came.error ? { error: came.error } : {}),
  };
  const to = known ? returnTo.kept(context.request, id, context.own) : undefined;
  return page(came.status, message, to, to === undefined ? [] : [returnTo.drop(id, context.own)]);
}

async function outcome(context: ReturnContext, id: string): Promise<Outcome> {
  let session: Session | undefined;
  try {
    const who = await signedIn(context);
    session = await context.client.session(who.tenantId, id);
    const connection = await completed(context, who, session);
    await notify(context, connection, who);
    return { status: 200, outcome: 'connected', connection, session };
  } catch (error) {
    report(context, error);
    if (error instanceof Declined) {
      return { status: 200, outcome: 'cancelled', error: { code: error.code, message: error.message }, session };
    }
    const { status, view } = viewOf(error);
    return { status, outcome: 'failed', error: view, session };
  }
}

/** notify calls the application's onConnected. An error there goes to onError only: the connection is stored already. */
async function notify(context: Context, connection: Connection, who: SignedIn): Promise<void> {
  try {
    await context.options.onConnected?.(connection, who);
  } catch (error) {
    report(context, error);
  }
}

/** Declined is a refusal by the person, and no failure. */
class Declined extends Refusal {}

/** completed completes a session, or returns the connection of one that the callback has completed. */
async function completed({ client, url }: ReturnContext, who: SignedIn, session: Session): Promise<Connection> {
  const { sessionId, actor } = session;
  const { tenantId, userId } = who;
  if (session.credentialFor === 'installation' && who.mayInstall !== true && actor === userId) {
    // mayInstall was true when the session began, and has changed since.
    await client.cancel(tenantId, sessionId).catch(() => undefined);
    throw new Refusal(403, 'forbidden', 'You may not install this app for your organization.');
  }
  const connectCode = url.searchParams.get('connect_code');
  if (connectCode) {
    return client.complete({ tenantId, sessionId, actor: userId, connectCode });
  }
  // The callback has completed or failed the session. The state comes from the engine, because anyone can write the URL.
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
