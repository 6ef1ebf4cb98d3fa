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
	"unicode/utf16"
	"unicode/utf8"
)

// Kinds of [Delivery].
const (
	EventDeauthorize  = "deauthorize"   // a signed_request to App.DeauthorizeURL
	EventDataDeletion = "data_deletion" // a signed_request to App.DataDeletionURL
	EventWebhook      = "webhook"       // JSON to the callback of a Subscription
)

// event is something that an app is to be told. It is signed as it is sent, with the secret that the app then has.
type event struct {
	kind, app string
	object    string // webhooks only
	payload   any
}

// signedPayload is the JSON of a signed_request.
type signedPayload struct {
	UserID    string `json:"user_id"`
	Algorithm string `json:"algorithm"`
	IssuedAt  int64  `json:"issued_at"`
	Expires   int64  `json:"expires,omitempty"` // data deletion only
}

// webhookPayload is what a webhook is told ("Webhooks, Getting Started").
type webhookPayload struct {
	Object string         `json:"object"`
	Entry  []webhookEntry `json:"entry"`
}

type webhookEntry struct {
	ID      string   `json:"id"`
	UID     string   `json:"uid,omitempty"` // of a person, the same as the id
	Time    int64    `json:"time"`
	Changes []object `json:"changes"`
}

// notifications has what apps are to receive and what they received.
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

// queueSigned has the app told about a person, if it wants to be.
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

// queueChanges has the app's webhook told about the fields that it subscribed to.
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

// permissionsChanged tells the webhook for permissions what a person granted or took back.
func (n *notifications) permissionsChanged(g *grant, verb string, names ...string) {
	if n.directory.systemUsers[g.person] != nil || g.business != "" {
		return // not a person
	}
	entry := webhookEntry{ID: scopedID(g.app, g.person)}
	entry.UID = entry.ID
	for _, name := range names {
		change := object{{"field", name}, {"value", n.permissionValue(g, name, verb)}}
		if name == connected && n.options().ConnectedVerbBeside {
			change = object{{"field", name}, {"verb", verb}}
		}
		entry.Changes = append(entry.Changes, change)
	}
	n.queueChanges(g.app, "permissions", entry)
}

// connected is the field that stands for the app as a whole.
const connected = "connected"

func (n *notifications) permissionValue(g *grant, name, verb string) object {
	value := object{{"verb", verb}}
	if perAsset(name) && g.pages != nil {
		value = append(value, member{"target_ids", g.pages})
	}
	return value
}

// integrationChanged tells the webhook for application that a business installed, changed or uninstalled the app
// ("Business Integration Webhooks"). Only the install names the configuration.
func (n *notifications) integrationChanged(app, field, business, configuration string) {
	value := object{{"business_manager_id", business}}
	if field == "business_integration_install" {
		value = append(value, member{"tp_config_id", configuration})
	}
	n.queueChanges(app, "application", webhookEntry{ID: app, Changes: []object{{{"field", field}, {"value", value}}}})
}

// RequestDeletion is a person who removes an app and asks it to delete what it knows ("Data Deletion Request Callback"): as
// [Facebook.RemoveApp], and the app's DataDeletionURL is told.
func (f *Facebook) RequestDeletion(appID, userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grants.end(appID, userID)
	f.notifications.queueSigned(EventDataDeletion, appID, scopedID(appID, userID))
}

// TestDeauthorize is the dashboard's button: the app's DeauthorizeURL is told of a user "0".
func (f *Facebook) TestDeauthorize(appID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notifications.queueSigned(EventDeauthorize, appID, "0")
}

// Notify has the webhook of an app that subscribed to an object told anything: entry is a value that encoding/json can
// encode, and stands alone in the entry list.
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

// Delivery is what became of one thing that an app was told.
type Delivery struct {
	Kind   string // one of the Event names
	App    string
	Object string // webhooks only: permissions, application, …
	URL    string
	Header http.Header // as it was sent
	Body   []byte

	Status int    // zero: no answer came
	Answer string // its beginning
	// Err is why Facebook will send it again: no answer, one that is not 200, or one to a data deletion request without a
	// status page and a confirmation code. Nil: delivered.
	Err error
}

// Pending tells how many things the apps have not been told yet.
func (f *Facebook) Pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.notifications.queue)
}

// Deliver tells the apps what has happened, in order: deauthorizations, data deletion requests and webhooks, to the URLs
// in [App] and to those that [Facebook.Subscribe] made known. Nothing is told before it is called. What is not answered as
// it should be is kept, and sent again by the next call, as Facebook does for a day and a half.
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
			continue // nobody listens any more
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

// Redeliver sends everything once more that was delivered before: Facebook promises that nothing is lost, not that nothing
// comes twice.
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

// deliver makes one attempt.
func (n *notifications) send(ctx context.Context, e event) Delivery {
	d := n.address(e)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(d.Body))
	if err != nil {
		d.Err = fmt.Errorf("delivering %s: %w", e.kind, err)
		return d
	}
	request.Header = d.Header
	if d.Status, d.Answer, err = n.ask(request); err == nil {
		err = checkAnswer(e.kind, d)
	}
	if err != nil {
		d.Err = fmt.Errorf("delivering %s: %w", e.kind, err)
	}
	return d
}

// address writes the envelope: where it goes, and signed with the secret of now.
func (n *notifications) address(e event) Delivery {
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

// answerLimit is how much of an app's answer is read.
const answerLimit = 64 << 10

// ask makes a request of an app. Facebook follows no redirects.
func (n *notifications) ask(request *http.Request) (status int, body string, err error) {
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

// checkAnswer tells what is wrong with an app's answer. To a data deletion request it has to name a status page and a
// confirmation code ("Data Deletion Request Callback").
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

// signedRequest is the format of deauthorizations and data deletion requests ("Data Deletion Request Callback"): the
// signature is over the payload as it is encoded, and both are unpadded base64url.
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

// hexHMACSHA1 is for X-Hub-Signature, which Facebook sends along for the sake of old receivers.
func hexHMACSHA1(secret string, message []byte) string {
	sum := hmac.New(sha1.New, []byte(secret))
	sum.Write(message)
	return hex.EncodeToString(sum.Sum(nil))
}

// webhookBody writes JSON as nobody else would: escaped as Facebook escapes it, with a blank after each comma and colon.
// The signature is over these bytes, so that a receiver who encodes the body anew to check it finds another.
func webhookBody(payload any) []byte {
	var b bytes.Buffer
	inString, compact := false, encode(payload)
	for i := 0; i < len(compact); {
		r, size := utf8.DecodeRune(compact[i:])
		switch {
		case inString && r == '\\': // an escape is two bytes at least, the second of which is never special
			b.Write(compact[i : i+2])
			size = 2
		case r == '"':
			inString = !inString
			b.WriteByte('"')
		case inString && r == '/':
			b.WriteString(`\/`)
		case inString && (r > 0x7e || r == '<' || r == '%' || r == '@'):
			escape(&b, r)
		case !inString && (r == ',' || r == ':'):
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.Bytes()
}

func escape(b *bytes.Buffer, r rune) {
	for _, unit := range utf16.AppendRune(nil, r) {
		fmt.Fprintf(b, `\u%04x`, unit)
	}
}
