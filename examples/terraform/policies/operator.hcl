# Watches and disconnects, and reads no token. It may not write config/, because a caller that may can send every token elsewhere.
path "authpipe/health" {
  capabilities = ["read"]
}
path "authpipe/health/*" {
  capabilities = ["list"]
}
path "authpipe/events" {
  capabilities = ["read"]
}
path "authpipe/tenants/*" {
  capabilities = ["read", "list", "update"]
}
path "authpipe/connections/*" {
  capabilities = ["read", "list", "update"]
}
path "authpipe/creds/*" {
  capabilities = ["list", "delete"]
}
path "authpipe/accounts/*" {
  capabilities = ["read", "delete"]
}
