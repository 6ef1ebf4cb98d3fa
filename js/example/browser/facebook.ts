import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** A running Facebook simulator. */
export interface Facebook {
  base: string;
  appSecret: string;
  appId: string;
  stop(): Promise<void>;
}

export interface FacebookOptions {
  /** The program: bin/facebook-simulator. */
  program: string;
  redirectURI: string;
  deauthorizeURL: string;
  webhookURL: string;
  webhookVerifyToken: string;
}

export async function startFacebook(options: FacebookOptions): Promise<Facebook> {
  const appId = '1024222333444555';
  const appSecret = '0123456789abcdef0123456789abcdef';
  const child = spawn(
    options.program,
    [
      '-app-id', appId, '-app-secret', appSecret, '-redirect-uri', options.redirectURI, '-deauthorize-url', options.deauthorizeURL,
      '-webhook-url', options.webhookURL, '-webhook-verify-token', options.webhookVerifyToken,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'exit');
  for await (const line of createInterface(child.stdout)) {
    const base = /^facebook simulator: (http:\S+)$/.exec(line)?.[1];
    if (!base) break;
    child.stdout.resume();
    return { base, appId, appSecret, stop: async () => void (child.kill(), await ended) };
  }
  throw new Error('the Facebook simulator does not start');
}
