/** What every request names. */
interface Whose {
  /** The authorization server's short name. The default is `facebook`. */
  provider?: string | undefined;
  /** The tenant: the customer organization that owns the credential. */
  tenantId: string;
}

/** The tenant's own credential: what an admin installed. */
export interface InstallationRequest extends Whose {
  /** For whom the credential speaks. */
  credentialFor: 'installation';
  /** The id of a page, whose own token is wanted, through the installation. */
  pageId?: string | undefined;
}

/** The credential of one person of the tenant. */
export interface UserRequest extends Whose {
  /** For whom the credential speaks. */
  credentialFor: 'user';
  /** Your application's id of the person. */
  userId: string;
  /** The id of a page, whose own token is wanted, through that person. */
  pageId?: string | undefined;
}

/**
 * The user's credential, or the installation's if there is none of the user. It falls back only where the user never connected
 * (`not_found`). A user's credential that is dead, suspended or out of reach is an error all the same: to go on in the
 * installation's name would be to act as somebody else without a word. {@link Credential.source} tells whose it was.
 */
export interface AnyRequest extends Whose {
  /** For whom the credential speaks. */
  credentialFor: 'any';
  /** Your application's id of the person, if somebody is there. */
  userId?: string | undefined;
  /** The id of a page, whose own token is wanted. It falls back where the user has no way to that page. */
  pageId?: string | undefined;
}

/** An API key or webhook secret, which somebody wrote and nobody connected. */
export interface StaticRequest extends Whose {
  /** For whom the credential speaks. */
  credentialFor: 'static';
  /** Whose API it is; any name. */
  provider: string;
  /** What it is called. */
  name: string;
}

/** Which credential is wanted. */
export type CredentialRequest = InstallationRequest | UserRequest | AnyRequest | StaticRequest;

/** Which credential is meant, where it must be one and not another in its place. */
export type ConnectionRequest = InstallationRequest | UserRequest | StaticRequest;
