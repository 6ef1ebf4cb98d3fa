# The role facebook-app may read the credentials that the manifests sync.
path "authpipe/creds/org_acme/facebook/installation" {
  capabilities = ["read"]
}
path "authpipe/creds/org_acme/mailer/static/api-key" {
  capabilities = ["read"]
}
