/** A Vault token that exists already: of Vault Agent, of an operator, of a test. The client renews it while it is renewable. */
export interface TokenAuth {
  /** The auth method. */
  method: 'token';
  /**
   * The token, or a function that returns it. The client calls it again when the token has ended, so it may read the file that
   * Vault Agent writes.
   */
  token: string | (() => string | Promise<string>);
}

/** AppRole (Vault's documentation, "AppRole auth method"). */
export interface AppRoleAuth {
  /** The auth method. */
  method: 'approle';
  /** The role's id. */
  roleId: string;
  /** The secret id, or a function that returns it, called at each login. A role with `bind_secret_id=false` needs none. */
  secretId?: string | (() => string | Promise<string>) | undefined;
  /** Where the method is mounted. The default is `approle`. */
  mount?: string | undefined;
}

/** A JWT of an identity provider, such as a CI system or a cloud (Vault's documentation, "JWT/OIDC auth method"). */
export interface JwtAuth {
  /** The auth method. */
  method: 'jwt';
  /** The role to log in as. The default is the mount's `default_role`. */
  role?: string | undefined;
  /** The JWT, or a function that returns it, called at each login, because JWTs are short-lived. */
  jwt: string | (() => string | Promise<string>);
  /** Where the method is mounted. The default is `jwt`. */
  mount?: string | undefined;
}

/** A pod's service account (Vault's documentation, "Kubernetes auth method"). */
export interface KubernetesAuth {
  /** The auth method. */
  method: 'kubernetes';
  /** The role to log in as. */
  role: string;
  /** The service account's token, or a function that returns it. By default each login reads the pod's. */
  jwt?: string | (() => string | Promise<string>) | undefined;
  /** Where the method is mounted. The default is `kubernetes`. */
  mount?: string | undefined;
}

/** How the client logs in to Vault. It renews a token that it has logged in for, and logs in again when the token ends. */
export type VaultAuth = TokenAuth | AppRoleAuth | JwtAuth | KubernetesAuth;
