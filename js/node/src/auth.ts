/** A token of Vault's that is there already: of Vault Agent, of an operator, of a test. It is renewed while it can be. */
export interface TokenAuth {
  /** How to log in. */
  method: 'token';
  /**
   * The token, or what returns it: it is asked again when the token has ended, so that it may read the file that Vault Agent
   * writes.
   */
  token: string | (() => string | Promise<string>);
}

/** AppRole (Vault's documentation, "AppRole auth method"). */
export interface AppRoleAuth {
  /** How to log in. */
  method: 'approle';
  /** The role's id. */
  roleId: string;
  /** The secret id, or what returns it, asked at each login. Not needed by a role with `bind_secret_id=false`. */
  secretId?: string | (() => string | Promise<string>) | undefined;
  /** Where the method is mounted. The default is `approle`. */
  mount?: string | undefined;
}

/** A JWT of an identity provider's: of a CI job, of a cloud (Vault's documentation, "JWT/OIDC auth method"). */
export interface JwtAuth {
  /** How to log in. */
  method: 'jwt';
  /** The role to log in as. The default is the mount's `default_role`. */
  role?: string | undefined;
  /** The JWT, or what returns it, asked at each login: they do not live long. */
  jwt: string | (() => string | Promise<string>);
  /** Where the method is mounted. The default is `jwt`. */
  mount?: string | undefined;
}

/** A pod's service account (Vault's documentation, "Kubernetes auth method"). */
export interface KubernetesAuth {
  /** How to log in. */
  method: 'kubernetes';
  /** The role to log in as. */
  role: string;
  /** The service account's token, or what returns it. The default reads what Kubernetes has put into the pod, at each login. */
  jwt?: string | (() => string | Promise<string>) | undefined;
  /** Where the method is mounted. The default is `kubernetes`. */
  mount?: string | undefined;
}

/** How the client gets a token of Vault's. What it logs in for itself it renews, and logs in again when that has an end. */
export type VaultAuth = TokenAuth | AppRoleAuth | JwtAuth | KubernetesAuth;
