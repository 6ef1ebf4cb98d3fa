# The token of consul-template may only read this one credential.
path "authpipe/creds/org_acme/facebook/installation" {
  capabilities = ["read"]
}
