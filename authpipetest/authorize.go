package authpipetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
)

// consentKey is where Authorize hides the person in the request.
type consentKey struct{}

// Authorize plays the browser: it opens the authorization URL, lets the person do what c says, and returns the URL that
// Facebook sends the browser to, with the fragment #_=_ that a browser would carry along. It does not open that URL. Only
// path and query of authorizationURL matter, so one that points to www.facebook.com works too. An error is returned if the
// dialog does not redirect (URL blocked, unknown app, unknown person, a [Fault]).
func (f *Facebook) Authorize(authorizationURL string, c Consent) (*url.URL, error) {
	ctx := context.WithValue(context.Background(), consentKey{}, &c)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, authorizationURL, nil)
	if err != nil {
		return nil, fmt.Errorf("opening the dialog: %w", err)
	}
	page := httptest.NewRecorder()
	if err := f.browse(page, request); err != nil {
		return nil, err
	}
	location := page.Header().Get("Location")
	if location == "" {
		return nil, fmt.Errorf("opening the dialog: no redirect, but status %d: %s", page.Code, strings.TrimSpace(page.Body.String()))
	}
	back, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("following the redirect: %w", err)
	}
	return back, nil
}

// browse serves one request without a network. A Fault that breaks the connection arrives as a panic of net/http's.
func (f *Facebook) browse(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch broken := recover(); broken {
		case nil:
		case http.ErrAbortHandler:
			err = errors.New("opening the dialog: the connection was reset")
		default:
			panic(broken)
		}
	}()
	f.ServeHTTP(w, r)
	return nil
}
