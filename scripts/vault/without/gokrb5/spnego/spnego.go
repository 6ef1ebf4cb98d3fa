// Package spnego stands in for what the auto-auth method kerberos uses.
package spnego

// HTTPHeaderAuthRequest is the header that carries a ticket.
const HTTPHeaderAuthRequest = "Authorization"
