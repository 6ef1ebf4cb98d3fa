import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Authpipe, toNodeHandler } from '@authpipe/node';
import { createApp } from './app.js';

// Serves the example, configured by its environment: see scripts/example.sh.
const need = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
};

const origin = need('EXAMPLE_ORIGIN');
const authpipe = new Authpipe({
  vaultAddr: need('VAULT_ADDR'),
  mount: 'authpipe',
  auth: { method: 'approle', roleId: need('VAULT_ROLE_ID'), secretId: need('VAULT_SECRET_ID') },
});
const app = createApp({
  authpipe,
  origin,
  tenantId: 'org_acme',
  graph: `${need('GRAPH_URL')}/v27.0`,
  web: fileURLToPath(new URL('../web', import.meta.url)),
  control: `${need('GRAPH_URL')}/_control`,
  webhookVerifyToken: need('WEBHOOK_VERIFY_TOKEN'),
});
const server = createServer(toNodeHandler(app));
server.listen(Number(new URL(origin).port), '127.0.0.1', () => console.log(`example: ${origin}`));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close().closeAllConnections();
    void authpipe.close();
  });
}
