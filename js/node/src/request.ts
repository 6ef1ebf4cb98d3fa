/** Fields of every request. */
interface Whose {
  /** The authorization server's short name. The default is `facebook`. */
  provider?: string | undefined;
  /** The tenant: the customer organization that owns the credential. */
  tenantId: string;
}

/** The tenant's own credential, which an admin installed. */
export interface InstallationRequest extends Whose {
  /** The kind of the credential. */
  credentialFor: 'installation';
  /** The id of a page, to get its own token, through the installation. */
  pageId?: string | undefined;
}

/** The credential of one person of the tenant. */
export interface UserRequest extends Whose {
  /** The kind of the credential. */
  credentialFor: 'user';
  /** Your application's id of the person. */
  userId: string;
  /** The id of a page, to get its own token, through that person. */
  pageId?: string | undefined;
}

/**
 * The user's credential, or the installation's if the user has none. It falls back only if the user never connected (`not_found`).
 * A user's credential that is dead, suspended or out of reach is an error: continuing as the installation would silently act as
 * another account. {@link Credential.source} says whose it was.
 */
export interface AnyRequest extends Whose {
  /** The kind of the credential. */
  credentialFor: 'any';
  /** Your application's id of the person, if there is one. */
  userId?: string | undefined;
  /** The id of a page, to get its own token. It falls back where the user has no access to that page. */
  pageId?: string | undefined;
}

/** An API key or webhook secret, which was written and not connected. */
export interface StaticRequest extends Whose {
  /** The kind of the credential. */
  credentialFor: 'static';
  /** The API that it is for; any name. */
  provider: string;
  /** Its name. */
  name: string;
}

/** Which credential to get. */
export type CredentialRequest = InstallationRequest | UserRequest | AnyRequest | StaticRequest;

/** Which credential, where no other may take its place. */
export type ConnectionRequest = InstallationRequest | UserRequest | StaticRequest;
