# What the application behind the proxy may do: use the credentials of one tenant.
path "authpipe/creds/org_acme/*" {
  capabilities = ["read"]
}
