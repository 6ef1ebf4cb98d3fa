// Package option stands in for the options of Google's clients.
package option

import "golang.org/x/oauth2"

// A ClientOption changes nothing.
type ClientOption struct{}

// WithUserAgent returns an option that changes nothing.
func WithUserAgent(string) ClientOption { return ClientOption{} }

// WithTokenSource returns an option that changes nothing.
func WithTokenSource(oauth2.TokenSource) ClientOption { return ClientOption{} }
