# What the token of consul-template may do: read this one credential.
path "authpipe/creds/org_acme/facebook/installation" {
  capabilities = ["read"]
}
