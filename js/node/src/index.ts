/**
 * `@authpipe/node` is the Node client of authpipe, the secrets engine for HashiCorp Vault that keeps other people's OAuth
 * credentials. It serves working credentials from memory, and the browser's side of connecting people.
 *
 * @packageDocumentation
 */
export { Authpipe } from './authpipe.js';
export type { AppRoleAuth, JwtAuth, KubernetesAuth, TokenAuth, VaultAuth } from './auth.js';
export type { Clock } from './clock.js';
export type { Connection, ListedConnection } from './connection.js';
export { Credential, type CredentialSource, type CredentialType, type Status } from './credential.js';
export { AuthpipeError, NeedsReauthError, NotConnectedError, type EngineCode, type ErrorCode, type ErrorParts } from './error.js';
export type { Event, EventsOptions } from './events.js';
export type { GraphOptions } from './graph.js';
export type { HandlerOptions, SignedIn, WebhookOptions } from './handler-options.js';
export type { ListRequest } from './list.js';
export type { AskOptions, AuthpipeOptions, DisconnectOptions, Trouble } from './options.js';
export { toNodeHandler, type NodeHandler } from './node-handler.js';
export type { AnyRequest, ConnectionRequest, CredentialRequest, InstallationRequest, StaticRequest, UserRequest } from './request.js';
export {
  sessionOf, StartedDevice, StartedSession,
  type CompleteDevice, type CompleteRequest, type CompleteWithAnswer, type CompleteWithCode,
  type ConnectInstallation, type ConnectOptions, type ConnectRequest, type ConnectUser, type Session, type SessionStatus,
} from './session.js';
export type { ConnectionFor, ConnectionView, ErrorView, ReturnMessage, StartAnswer } from './view.js';
