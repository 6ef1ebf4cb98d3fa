package authpipetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Subscription is an app's webhook for one kind of object ("Webhooks, Getting Started").
type Subscription struct {
	Object      string // permissions, application, page, …
	CallbackURL string
	VerifyToken string   // sent to the callback when it is verified
	Fields      []string // empty: all
}

type subscriptionKey struct{ app, object string }

// Subscribe subscribes an app's callback to an object, as the dashboard does. It first sends the callback a challenge;
// if the answer is right, [Facebook.Deliver] sends notifications about the object. An existing subscription to the
// object is replaced. Subscribe returns an error if there is no such app, or if the callback does not answer the
// challenge.
func (f *Facebook) Subscribe(ctx context.Context, appID string, s Subscription) error {
	return f.notifications.subscribe(ctx, appID, s)
}

func (n *notifications) subscribe(ctx context.Context, appID string, s Subscription) error {
	if err := n.verify(ctx, s); err != nil {
		return fmt.Errorf("subscribing to %s: %w", s.Object, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.directory.apps[appID] == nil {
		return fmt.Errorf("subscribing to %s: there is no app %q", s.Object, appID)
	}
	s.Fields = slices.Clone(s.Fields)
	n.subscriptions[subscriptionKey{appID, s.Object}] = &s
	return nil
}

// verify sends the verification request: a GET with hub.mode, hub.challenge and hub.verify_token, which the callback
// must answer with the challenge.
func (n *notifications) verify(ctx context.Context, s Subscription) error {
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
	status, body, err := n.request(request)
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

// webhooks has the endpoints of an app's subscriptions.
type webhooks struct {
	*settings
	mu            *sync.Mutex
	graph         *graph
	notifications *notifications
}

// subscribe serves POST /{app}/subscriptions. It runs without the lock, because the callback may call the simulator.
func (wh *webhooks) subscribe(c *call) answer {
	err := wh.maySubscribe(c)
	if err == nil {
		err = wh.notifications.subscribe(c.request.Context(), c.node, Subscription{
			Object: c.param("object"), CallbackURL: c.param("callback_url"), VerifyToken: c.param("verify_token"),
			Fields: list(c.param("fields")),
		})
		if err != nil {
			err = oauthError(codeCallback, "(#2200) Callback verification failed with the following errors: %s",
				strings.TrimPrefix(err.Error(), "subscribing to "+c.param("object")+": "))
		}
	}
	wh.mu.Lock()
	defer wh.mu.Unlock()
	return wh.graph.answer(c, map[string]bool{"success": true}, err)
}

func (wh *webhooks) maySubscribe(c *call) error {
	wh.mu.Lock()
	defer wh.mu.Unlock()
	if !wh.knows(c.version) {
		return unknownPath(c)
	}
	if err := wh.graph.authenticateApp(c); err != nil {
		return err
	}
	for _, name := range []string{"object", "callback_url", "verify_token"} {
		if c.param(name) == "" {
			return oauthError(codeInvalid, "(#100) The parameter %s is required", name)
		}
	}
	return nil
}

// list serves GET /{app}/subscriptions.
func (wh *webhooks) list(c *call) (any, error) {
	if err := wh.graph.authenticateApp(c); err != nil {
		return nil, err
	}
	listed := []object{}
	for key, s := range wh.notifications.subscriptions {
		if key.app == c.node {
			fields := []object{}
			for _, name := range s.Fields {
				fields = append(fields, object{{"name", name}, {"version", wh.versionFor(c)}})
			}
			listed = append(listed, object{{"object", s.Object}, {"callback_url", s.CallbackURL}, {"active", true}, {"fields", fields}})
		}
	}
	slices.SortFunc(listed, func(a, b object) int { return strings.Compare(a[0].value.(string), b[0].value.(string)) })
	return map[string]any{"data": listed}, nil
}

// unsubscribe serves DELETE /{app}/subscriptions, for one object or for all.
func (wh *webhooks) unsubscribe(c *call) (any, error) {
	if err := wh.graph.authenticateApp(c); err != nil {
		return nil, err
	}
	for key := range wh.notifications.subscriptions {
		if key.app == c.node && (c.param("object") == "" || c.param("object") == key.object) {
			delete(wh.notifications.subscriptions, key)
		}
	}
	return map[string]bool{"success": true}, nil
}
