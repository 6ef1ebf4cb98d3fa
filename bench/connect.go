package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
)

const appID, appSecret = "1024222333444555", "0123456789abcdef0123456789abcdef"

// A facebook is a simulated Facebook that listens on loopback.
type facebook struct {
	*authpipetest.Facebook
	server   *httptest.Server
	callback string
}

// newFacebook returns a Facebook that redirects browsers to callback.
func newFacebook(o authpipetest.Options, callback string) *facebook {
	fb := authpipetest.NewFacebook(o)
	fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, Name: "Acme Social", RedirectURIs: []string{callback}, RequireAppSecret: true})
	return &facebook{fb, httptest.NewServer(fb), callback}
}

// An engine is one mount, in this process or behind Vault's API.
type engine interface {
	// write makes a request below the mount.
	write(ctx context.Context, path string, data map[string]any) (map[string]any, error)
	// visit opens a URL of the mount as a browser would.
	visit(ctx context.Context, to *url.URL) error
}

// configure registers the app. more adds to its fields or replaces them.
func (fb *facebook) configure(ctx context.Context, e engine, more map[string]any) error {
	config := map[string]any{
		"client_id": appID, "client_secret": appSecret, "redirect_uris": fb.callback,
		"dialog_url": fb.server.URL, "graph_url": fb.server.URL,
		"completion": "callback", "require_installation": false,
	}
	for name, value := range more {
		config[name] = value
	}
	_, err := e.write(ctx, "config/facebook", config)
	return err
}

// connect has the person authorize the app, from authorization URL to stored credential.
func (fb *facebook) connect(ctx context.Context, e engine, p crowd.Person) error {
	fb.AddUser(authpipetest.User{ID: p.ID, Name: "A Person With a Name", Email: p.ID + "@example.com"})
	begun, err := e.write(ctx, "connect/"+p.Ref, map[string]any{"actor": p.ID})
	if err != nil {
		return err
	}
	back, err := fb.Authorize(begun["authorization_url"].(string), authpipetest.Consent{User: p.ID})
	if err != nil {
		return err
	}
	return e.visit(ctx, back)
}

// statusError returns an error unless the callback responded with 200.
func statusError(status int) error {
	if status != http.StatusOK {
		return fmt.Errorf("connecting: the callback responded with %d", status)
	}
	return nil
}
