# What the role facebook-app may do: read what the manifests sync.
path "authpipe/creds/org_acme/facebook/installation" {
  capabilities = ["read"]
}
path "authpipe/creds/org_acme/mailer/static/api-key" {
  capabilities = ["read"]
}
