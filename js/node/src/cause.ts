// A peer that breaks HTTP's framing gets its bytes into the platform's errors: an HTTPParserError has them as `data`, and an
// unreadable URL is quoted. Those bytes may be a credential. So no error of this package has the text of such an error, or the
// error itself as its cause.

const closed = 'the connection was closed';
const slow = 'it took too long';
const unknown = 'its host name cannot be resolved';
const untrusted = 'its certificate is not valid here';

/** The codes of Node and undici that are worth distinguishing, in fixed words. */
const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused', ECONNRESET: closed, EPIPE: closed, UND_ERR_SOCKET: closed,
  EHOSTUNREACH: 'its host cannot be reached', ENETUNREACH: 'its network cannot be reached',
  ETIMEDOUT: slow, UND_ERR_CONNECT_TIMEOUT: slow, UND_ERR_HEADERS_TIMEOUT: slow, UND_ERR_BODY_TIMEOUT: slow,
  ENOTFOUND: unknown, EAI_AGAIN: unknown,
  CERT_HAS_EXPIRED: untrusted, DEPTH_ZERO_SELF_SIGNED_CERT: untrusted, SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted, UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted, ERR_TLS_CERT_ALTNAME_INVALID: untrusted,
  EPROTO: 'it does not speak TLS', ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ENOENT: 'there is no such file', EACCES: 'the file may not be read',
};

/** The part of an error that quotes nothing. */
export interface Reason {
  /** Node's or undici's code, if it is a known one. */
  code?: string;
  /** What happened. */
  text: string;
}

/** reasonOf returns why something failed, in words that do not depend on what a peer sent; undefined if it is not known. */
export function reasonOf(error: unknown): Reason | undefined {
  for (const one of [error, error instanceof Error ? error.cause : undefined]) {
    const code: unknown = one instanceof Error && 'code' in one ? one.code : undefined;
    if (typeof code !== 'string') {
      continue;
    }
    if (Object.hasOwn(words, code)) {
      return { code, text: words[code] ?? '' };
    }
    if (/^HPE_[A-Z_]{1,40}$/.test(code)) { // llhttp's
      return { code, text: 'the answer is not valid HTTP' };
    }
  }
  return undefined;
}

/** quiet replaces the error of a `fetch` by one without what the peer sent: a TypeError whose cause has only the code. */
export function quiet(error: unknown): TypeError {
  const { code, text } = reasonOf(error) ?? { text: 'the connection failed' };
  return new TypeError(`fetch failed: ${text}`, code === undefined ? undefined : { cause: Object.assign(new Error(text), { code }) });
}

/**
 * quietBody returns a body whose errors can be logged. A body that the caller's own signal ended fails with the signal's reason.
 */
export function quietBody(body: ReadableStream<Uint8Array>, signal: AbortSignal): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) {
          controller.enqueue(value);
          return;
        }
      } catch (error) {
        throw signal.aborted ? error : quiet(error);
      }
      controller.close();
      controller.byobRequest?.respond(0);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}
