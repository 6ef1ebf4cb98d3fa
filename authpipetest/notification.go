package authpipetest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Kinds of [Delivery].
const (
	EventDeauthorize  = "deauthorize"   // a signed_request to App.DeauthorizeURL
	EventDataDeletion = "data_deletion" // a signed_request to App.DataDeletionURL
	EventWebhook      = "webhook"       // JSON to the callback of a Subscription
)

// event is a notification in the queue. It is signed when it is sent, with the secret that the app has then.
type event struct {
	kind, app string
	object    string // webhooks only
	payload   any
}

// signedPayload is the payload of a signed_request.
type signedPayload struct {
	UserID    string `json:"user_id"`
	Algorithm string `json:"algorithm"`
	IssuedAt  int64  `json:"issued_at"`
	Expires   int64  `json:"expires,omitempty"` // data deletion only
}

// webhookPayload is the body of a webhook request ("Webhooks, Getting Started").
type webhookPayload struct {
	Object string         `json:"object"`
	Entry  []webhookEntry `json:"entry"`
}

type webhookEntry struct {
	ID      string   `json:"id"`
	UID     string   `json:"uid,omitempty"` // for a person, equal to ID
	Time    int64    `json:"time"`
	Changes []object `json:"changes"`
}

// notifications has the subscriptions of apps, and the notifications that are queued or were delivered.
type notifications struct {
	*settings
	mu        *sync.Mutex
	directory *directory

	subscriptions map[subscriptionKey]*Subscription
	queue         []event
	delivered     []event
}

func newNotifications(mu *sync.Mutex, s *settings, d *directory) *notifications {
	return &notifications{settings: s, mu: mu, directory: d, subscriptions: map[subscriptionKey]*Subscription{}}
}

// queueSigned queues a signed_request about a person, if the app has a URL for it.
func (n *notifications) queueSigned(kind, appID, userID string) {
	app := n.directory.apps[appID]
	if app == nil || app.callback(kind) == "" {
		return
	}
	payload := signedPayload{UserID: userID, Algorithm: "HMAC-SHA256", IssuedAt: unix(n.options().Now())}
	if kind == EventDataDeletion {
		payload.Expires = unix(n.options().Now().Add(time.Hour))
	}
	n.queue = append(n.queue, event{kind: kind, app: appID, payload: payload})
}

func (a *App) callback(kind string) string {
	if kind == EventDataDeletion {
		return a.DataDeletionURL
	}
	return a.DeauthorizeURL
}

// queueChanges queues a webhook request with those of the changes to which the app has subscribed.
func (n *notifications) queueChanges(app, topic string, entry webhookEntry) {
	s := n.subscriptions[subscriptionKey{app, topic}]
	if s == nil {
		return
	}
	entry.Changes = slices.DeleteFunc(entry.Changes, func(change object) bool {
		return len(s.Fields) > 0 && !slices.Contains(s.Fields, change[0].value.(string))
	})
	if len(entry.Changes) == 0 {
		return
	}
	entry.Time = unix(n.options().Now())
	n.queue = append(n.queue, event{
		kind: EventWebhook, app: app, object: topic, payload: webhookPayload{topic, []webhookEntry{entry}},
	})
}

// permissionsChanged notifies the webhook for permissions of permissions that a person granted or withdrew.
func (n *notifications) permissionsChanged(g *grant, verb string, names ...string) {
	var changes []object
	for _, name := range names {
		change := object{{"field", name}, {"value", permissionValue(g, name, verb)}}
		if name == connected && n.options().ConnectedVerbBeside {
			change = object{{"field", name}, {"verb", verb}}
		}
		changes = append(changes, change)
	}
	n.queuePermissions(g, changes)
}

// pagesChanged notifies the webhook for permissions of pages for which a person granted or withdrew some permissions.
func (n *notifications) pagesChanged(g *grant, verb string, pages, names []string) {
	var changes []object
	for _, name := range names {
		changes = append(changes, object{{"field", name}, {"value", object{{"verb", verb}, {"target_ids", pages}}}})
	}
	n.queuePermissions(g, changes)
}

func (n *notifications) queuePermissions(g *grant, changes []object) {
	if n.directory.systemUsers[g.person] != nil || g.business != "" {
		return // not a person
	}
	id := scopedID(g.app, g.person)
	n.queueChanges(g.app, "permissions", webhookEntry{ID: id, UID: id, Changes: changes})
}

// connected is the field that stands for the app as a whole.
const connected = "connected"

func permissionValue(g *grant, name, verb string) object {
	value := object{{"verb", verb}}
	if targets := g.targets(name); perAsset(name) && targets != nil {
		value = append(value, member{"target_ids", targets})
	}
	return value
}

// integrationChanged notifies the webhook for application that a business installed, changed or removed the app
// ("Business Integration Webhooks"). Only an installation names the configuration.
func (n *notifications) integrationChanged(app, field, business, configuration string) {
	value := object{{"business_manager_id", business}}
	if field == "business_integration_install" {
		value = append(value, member{"tp_config_id", configuration})
	}
	n.queueChanges(app, "application", webhookEntry{ID: app, Changes: []object{{{"field", field}, {"value", value}}}})
}

// RequestDeletion acts as a person who removes an app and requests the deletion of their data ("Data Deletion Request
// Callback"). It does what [Facebook.RemoveApp] does, and queues a request to the app's DataDeletionURL.
func (f *Facebook) RequestDeletion(appID, userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grants.end(appID, userID)
	f.notifications.queueSigned(EventDataDeletion, appID, scopedID(appID, userID))
}

// TestDeauthorize is the dashboard's test button: it queues a request to the app's DeauthorizeURL about the user "0".
func (f *Facebook) TestDeauthorize(appID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notifications.queueSigned(EventDeauthorize, appID, "0")
}

// Notify queues a webhook request with any entry, if the app has subscribed to the object. encoding/json must be able
// to encode entry, which is the only element of the entry list.
func (f *Facebook) Notify(appID, object string, entry any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notifications.queueEntry(appID, object, entry)
}

func (n *notifications) queueEntry(app, object string, entry any) {
	if n.subscriptions[subscriptionKey{app, object}] != nil {
		n.queue = append(n.queue, event{
			kind: EventWebhook, app: app, object: object, payload: map[string]any{"object": object, "entry": []any{entry}},
		})
	}
}

// Delivery is the result of one attempt to send a notification.
type Delivery struct {
	Kind   string // one of the Event names
	App    string
	Object string // webhooks only: permissions, application, …
	URL    string
	Header http.Header // as it was sent
	Body   []byte

	Status int    // zero: no answer came
	Answer string // its beginning
	// Err is why Facebook will send it again: no answer, a status other than 200, or an answer to a data deletion
	// request without a status page and a confirmation code. Nil: delivered.
	Err error
}

// Pending returns how many notifications are queued.
func (f *Facebook) Pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.notifications.queue)
}

// Deliver sends the queued notifications in order: deauthorizations and data deletion requests to the URLs in [App],
// and webhook requests to the callbacks of subscriptions. Nothing is sent before it is called. A notification that
// fails stays queued for the next call; Facebook tries again for a day and a half.
func (f *Facebook) Deliver(ctx context.Context) []Delivery { return f.notifications.deliver(ctx) }

func (n *notifications) deliver(ctx context.Context) []Delivery {
	n.mu.Lock()
	events := n.queue
	n.queue = nil
	n.mu.Unlock()
	var deliveries []Delivery
	var failed []event
	for _, e := range events {
		d := n.send(ctx, e)
		if d.URL == "" {
			continue // the subscription or the app's URL was removed
		}
		deliveries = append(deliveries, d)
		n.mu.Lock()
		if d.Err != nil {
			failed = append(failed, e)
		} else {
			n.delivered = append(n.delivered, e)
		}
		n.mu.Unlock()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = append(failed, n.queue...)
	return deliveries
}

// Redeliver sends everything again that was delivered before: Facebook may deliver a notification more than once.
func (f *Facebook) Redeliver(ctx context.Context) []Delivery { return f.notifications.redeliver(ctx) }

func (n *notifications) redeliver(ctx context.Context) []Delivery {
	n.mu.Lock()
	events := append([]event{}, n.delivered...)
	n.mu.Unlock()
	var deliveries []Delivery
	for _, e := range events {
		if d := n.send(ctx, e); d.URL != "" {
			deliveries = append(deliveries, d)
		}
	}
	return deliveries
}

// send makes one attempt.
func (n *notifications) send(ctx context.Context, e event) Delivery {
	d := n.compose(e)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(d.Body))
	if err != nil {
		d.Err = fmt.Errorf("delivering %s: %w", e.kind, err)
		return d
	}
	request.Header = d.Header
	if d.Status, d.Answer, err = n.request(request); err == nil {
		err = checkAnswer(e.kind, d)
	}
	if err != nil {
		d.Err = fmt.Errorf("delivering %s: %w", e.kind, err)
	}
	return d
}

// compose makes the request for an event, signed with the app's current secret.
func (n *notifications) compose(e event) Delivery {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := Delivery{Kind: e.kind, App: e.app, Object: e.object, Header: http.Header{}}
	app := n.directory.apps[e.app]
	if e.kind == EventWebhook {
		if s := n.subscriptions[subscriptionKey{e.app, e.object}]; s != nil {
			d.URL = s.CallbackURL
		}
		d.Body = webhookBody(e.payload)
		d.Header.Set("Content-Type", "application/json")
		d.Header.Set("User-Agent", "Webhooks/1.0 (https://fb.me/webhooks)")
		d.Header.Set("X-Hub-Signature", "sha1="+hexHMACSHA1(app.Secret, d.Body))
		d.Header.Set("X-Hub-Signature-256", "sha256="+hexHMAC(app.Secret, string(d.Body)))
		return d
	}
	d.URL = app.callback(e.kind)
	d.Body = []byte(url.Values{"signed_request": {signedRequest(app.Secret, encode(e.payload))}}.Encode())
	d.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return d
}

// answerLimit is how many bytes of an app's answer are read.
const answerLimit = 64 << 10

// request sends a request to an app. Facebook follows no redirects.
func (n *notifications) request(request *http.Request) (status int, body string, err error) {
	client := *n.options().HTTPClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	return response.StatusCode, string(read), err
}

// checkAnswer returns what is wrong with an app's answer. The answer to a data deletion request must have a status page
// and a confirmation code ("Data Deletion Request Callback").
func checkAnswer(kind string, d Delivery) error {
	if d.Status != http.StatusOK {
		return fmt.Errorf("the answer is status %d", d.Status)
	}
	if kind != EventDataDeletion {
		return nil
	}
	var answered struct {
		URL  string `json:"url"`
		Code string `json:"confirmation_code"`
	}
	if err := json.Unmarshal([]byte(d.Answer), &answered); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	page, err := url.Parse(answered.URL)
	if err != nil || !page.IsAbs() || answered.Code == "" {
		return errors.New("the answer lacks an absolute url or a confirmation_code")
	}
	return nil
}

// signedRequest is the format of deauthorizations and data deletion requests ("Data Deletion Request Callback"). The
// signature is over the encoded payload; both are unpadded base64url.
func signedRequest(secret string, payload []byte) string {
	encoded := base64.RawURLEncoding.EncodeToString(payload)
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(encoded))
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)) + "." + encoded
}

func hexHMAC(secret, message string) string {
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(message))
	return hex.EncodeToString(sum.Sum(nil))
}

// hexHMACSHA1 is for X-Hub-Signature, which Facebook still sends for old receivers.
func hexHMACSHA1(secret string, message []byte) string {
	sum := hmac.New(sha1.New, []byte(secret))
	sum.Write(message)
	return hex.EncodeToString(sum.Sum(nil))
}
