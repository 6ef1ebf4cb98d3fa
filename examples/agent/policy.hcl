# The agent's role may only read this one credential.
path "authpipe/creds/org_acme/facebook/installation" {
  capabilities = ["read"]
}
