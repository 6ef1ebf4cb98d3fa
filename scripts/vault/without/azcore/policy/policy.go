// Package policy stands in for Azure's.
package policy

// TokenRequestOptions says what a token is for.
type TokenRequestOptions struct{ Scopes []string }
