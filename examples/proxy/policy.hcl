# The application behind the proxy may use the credentials of one tenant.
path "authpipe/creds/org_acme/*" {
  capabilities = ["read"]
}
