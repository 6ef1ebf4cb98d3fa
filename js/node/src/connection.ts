import { instant, type CredentialType, type Status } from './credential.js';
import { needsReauth } from './error.js';

/** A credential's state, without the credential. */
export interface Connection {
  /** The ref: `<tenant>/<provider>/users/<user>` and so on. */
  ref: string;
  /** The tenant that owns it. */
  tenantId: string;
  /** The authorization server's short name. */
  provider: string;
  /** The kind of the credential. */
  credentialFor: 'installation' | 'user' | 'page' | 'static';
  /** Your application's id of the person, of a person's. */
  userId?: string;
  /** The page's id, of a page's. */
  pageId?: string;
  /** An access token, or the kind of static credential. */
  type: CredentialType;
  /** Its state. */
  status: Status;
  /** Whether only the person can help, by connecting again. */
  needsReauth: boolean;
  /** Set on an installation that is being removed, and on everything under it: none of that is served any more. */
  removing?: boolean;
  /** The provider's id of the account. */
  providerUserId?: string;
  /** The business that the token is for, if any. */
  businessId?: string;
  /** The scopes that were granted. */
  scopes: string[];
  /** The scopes that were asked for and not granted. */
  missingScopes: string[];
  /** When the token ends; absent if it does not. */
  expiresAt?: Date;
  /** When the app's access to the person's data ends, if it does. */
  dataAccessExpiresAt?: Date;
  /** When it was connected, the last time. */
  connectedAt?: Date;
  /** The person who connected it: your application's own id. */
  connectedBy?: string;
  /** When its token was last refreshed. */
  refreshedAt?: Date;
  /** When the provider was last asked about it. */
  checkedAt?: Date;
  /** The engine's warnings. */
  warnings: string[];
}

/** The answer of connections/. */
export interface ConnectionData {
  ref: string;
  tenant_id: string;
  provider: string;
  credential_for: Connection['credentialFor'];
  credential_type: CredentialType;
  user_id?: string;
  page_id?: string;
  status: Status;
  provider_user_id?: string;
  business_id?: string;
  scopes?: string[] | null;
  missing_scopes?: string[] | null;
  expires_at?: string;
  data_access_expires_at?: string;
  connected_at?: string;
  connected_by?: { actor?: string };
  refreshed_at?: string;
  checked_at?: string;
  removal?: object;
}

/** connectionOf reads the engine's answer. */
export function connectionOf(data: ConnectionData, warnings: string[]): Connection {
  return present({
    ref: data.ref,
    tenantId: data.tenant_id,
    provider: data.provider,
    credentialFor: data.credential_for,
    userId: data.user_id || undefined,
    pageId: data.page_id || undefined,
    type: data.credential_type,
    status: data.status,
    needsReauth: needsReauth(data.status),
    removing: data.removal ? true : undefined,
    providerUserId: data.provider_user_id || undefined,
    businessId: data.business_id || undefined,
    scopes: data.scopes ?? [],
    missingScopes: data.missing_scopes ?? [],
    expiresAt: instant(data.expires_at),
    dataAccessExpiresAt: instant(data.data_access_expires_at),
    connectedAt: instant(data.connected_at),
    connectedBy: data.connected_by?.actor,
    refreshedAt: instant(data.refreshed_at),
    checkedAt: instant(data.checked_at),
    warnings,
  });
}

/** present leaves out the fields that are undefined. */
export function present<T extends object>(sparse: { [K in keyof Required<T>]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(sparse).filter(([, value]) => value !== undefined)) as T;
}

/** One of a tenant's connections, with what the list has of it. */
export interface ListedConnection {
  /** What it is called. */
  ref: string;
  /** The tenant that owns it. */
  tenantId: string;
  /** The authorization server's short name. */
  provider: string;
  /** The kind of the credential. */
  credentialFor: 'installation' | 'user' | 'static';
  /** Your application's id of the person, of a person's. */
  userId?: string;
  /** The name of a static credential. */
  name?: string;
  /** Its state. Only lists have `removing` and `unreadable`. */
  status: Status | 'removing' | 'unreadable';
  /** Whether only the person can help, by connecting again. */
  needsReauth: boolean;
  /** The scopes that were asked for and not granted. */
  missingScopes: string[];
  /** When the token ends; absent if it does not. */
  expiresAt?: Date;
  /** When it was connected, the last time. */
  connectedAt?: Date;
}
