package authpipetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Subscription is an app's webhook for one kind of object ("Webhooks, Getting Started").
type Subscription struct {
	Object      string // permissions, application, page, …
	CallbackURL string
	VerifyToken string   // what the callback knows Facebook by when it subscribes
	Fields      []string // empty: all
}

type subscriptionKey struct{ app, object string }

// Subscribe is what the dashboard does: it greets the callback with a challenge, and if that is answered, the app is told
// about the object from here on; see [Facebook.Deliver]. A subscription to the same object is replaced. An error is
// returned if there is no such app, or if the callback does not answer the challenge.
func (f *Facebook) Subscribe(ctx context.Context, appID string, s Subscription) error {
	if err := f.greet(ctx, s); err != nil {
		return fmt.Errorf("subscribing to %s: %w", s.Object, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.books.apps[appID] == nil {
		return fmt.Errorf("subscribing to %s: there is no app %q", s.Object, appID)
	}
	s.Fields = slices.Clone(s.Fields)
	f.books.subscriptions[subscriptionKey{appID, s.Object}] = &s
	return nil
}

// greet is the handshake: GET with hub.mode, hub.challenge and hub.verify_token, which the callback answers by the challenge.
func (f *Facebook) greet(ctx context.Context, s Subscription) error {
	callback, err := url.Parse(s.CallbackURL)
	if err != nil {
		return err
	}
	if callback.Host == "" {
		return errors.New("the callback is no absolute URL")
	}
	challenge, q := "1"+random("0123456789", 9), callback.Query()
	q.Set("hub.mode", "subscribe")
	q.Set("hub.challenge", challenge)
	q.Set("hub.verify_token", s.VerifyToken)
	callback.RawQuery = q.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, callback.String(), nil)
	if err != nil {
		return err
	}
	status, body, err := f.ask(request)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("HTTP Status Code = %d; HTTP Message = %s", status, http.StatusText(status))
	case body != challenge:
		return errors.New("the callback did not answer by the challenge")
	}
	return nil
}

const codeCallback = 2200

// subscribe is POST /{app}/subscriptions. It runs without the lock: the callback may have questions of its own.
func (f *Facebook) subscribe(c *call) answer {
	err := f.maySubscribe(c)
	if err == nil {
		err = f.Subscribe(c.request.Context(), c.node, Subscription{
			Object: c.param("object"), CallbackURL: c.param("callback_url"), VerifyToken: c.param("verify_token"),
			Fields: list(c.param("fields")),
		})
		if err != nil {
			err = oauthError(codeCallback, "(#2200) Callback verification failed with the following errors: %s",
				strings.TrimPrefix(err.Error(), "subscribing to "+c.param("object")+": "))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.graphAnswer(c, map[string]bool{"success": true}, err)
}

func (f *Facebook) maySubscribe(c *call) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.knows(c.version) {
		return unknownPath(c)
	}
	if err := f.asApp(c); err != nil {
		return err
	}
	for _, name := range []string{"object", "callback_url", "verify_token"} {
		if c.param(name) == "" {
			return oauthError(codeInvalid, "(#100) The parameter %s is required", name)
		}
	}
	return nil
}

// asApp authenticates a call that an app makes about itself.
func (f *Facebook) asApp(c *call) error {
	t, err := f.authenticate(c)
	switch {
	case err != nil:
		return err
	case t.kind != KindApp:
		return oauthError(15, "(#15) This method must be called with an app access_token.")
	case c.node != t.app:
		return noSuchObject(c, c.node)
	}
	return nil
}

// subscriptionList is GET /{app}/subscriptions.
func (f *Facebook) subscriptionList(c *call) (any, error) {
	if err := f.asApp(c); err != nil {
		return nil, err
	}
	listed := []object{}
	for key, s := range f.books.subscriptions {
		if key.app == c.node {
			fields := []object{}
			for _, name := range s.Fields {
				fields = append(fields, object{{"name", name}, {"version", f.versionFor(c)}})
			}
			listed = append(listed, object{{"object", s.Object}, {"callback_url", s.CallbackURL}, {"active", true}, {"fields", fields}})
		}
	}
	slices.SortFunc(listed, func(a, b object) int { return strings.Compare(a[0].value.(string), b[0].value.(string)) })
	return map[string]any{"data": listed}, nil
}

// unsubscribe is DELETE /{app}/subscriptions, for one object or for all.
func (f *Facebook) unsubscribe(c *call) (any, error) {
	if err := f.asApp(c); err != nil {
		return nil, err
	}
	for key := range f.books.subscriptions {
		if key.app == c.node && (c.param("object") == "" || c.param("object") == key.object) {
			delete(f.books.subscriptions, key)
		}
	}
	return map[string]bool{"success": true}, nil
}
