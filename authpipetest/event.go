package authpipetest

import (
	"slices"
	"time"
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

// queueSigned has the app told about a person, if it wants to be.
func (f *Facebook) queueSigned(kind, appID, userID string) {
	app := f.books.apps[appID]
	if app == nil || app.callback(kind) == "" {
		return
	}
	payload := signedPayload{UserID: userID, Algorithm: "HMAC-SHA256", IssuedAt: unix(f.options().Now())}
	if kind == EventDataDeletion {
		payload.Expires = unix(f.options().Now().Add(time.Hour))
	}
	f.books.events = append(f.books.events, event{kind: kind, app: appID, payload: payload})
}

func (a *App) callback(kind string) string {
	if kind == EventDataDeletion {
		return a.DataDeletionURL
	}
	return a.DeauthorizeURL
}

// queueChanges has the app's webhook told about the fields that it subscribed to.
func (f *Facebook) queueChanges(app, topic string, entry webhookEntry) {
	s := f.books.subscriptions[subscriptionKey{app, topic}]
	if s == nil {
		return
	}
	entry.Changes = slices.DeleteFunc(entry.Changes, func(change object) bool {
		return len(s.Fields) > 0 && !slices.Contains(s.Fields, change[0].value.(string))
	})
	if len(entry.Changes) == 0 {
		return
	}
	entry.Time = unix(f.options().Now())
	f.books.events = append(f.books.events, event{
		kind: EventWebhook, app: app, object: topic, payload: webhookPayload{topic, []webhookEntry{entry}},
	})
}

// permissionsChanged tells the webhook for permissions what a person granted or took back.
func (f *Facebook) permissionsChanged(g *grant, verb string, names ...string) {
	if f.books.systemUsers[g.person] != nil || g.business != "" {
		return // not a person
	}
	entry := webhookEntry{ID: f.ScopedID(g.app, g.person)}
	entry.UID = entry.ID
	for _, name := range names {
		change := object{{"field", name}, {"value", f.permissionValue(g, name, verb)}}
		if name == connected && f.options().ConnectedVerbBeside {
			change = object{{"field", name}, {"verb", verb}}
		}
		entry.Changes = append(entry.Changes, change)
	}
	f.queueChanges(g.app, "permissions", entry)
}

// connected is the field that stands for the app as a whole.
const connected = "connected"

func (f *Facebook) permissionValue(g *grant, name, verb string) object {
	value := object{{"verb", verb}}
	if perAsset(name) && g.pages != nil {
		value = append(value, member{"target_ids", g.pages})
	}
	return value
}

// integrationChanged tells the webhook for application that a business installed, changed or uninstalled the app
// ("Business Integration Webhooks"). Only the install names the configuration.
func (f *Facebook) integrationChanged(app, field, business, configuration string) {
	value := object{{"business_manager_id", business}}
	if field == "business_integration_install" {
		value = append(value, member{"tp_config_id", configuration})
	}
	f.queueChanges(app, "application", webhookEntry{ID: app, Changes: []object{{{"field", field}, {"value", value}}}})
}

// RequestDeletion is a person who removes an app and asks it to delete what it knows ("Data Deletion Request Callback"): as
// [Facebook.RemoveApp], and the app's DataDeletionURL is told.
func (f *Facebook) RequestDeletion(appID, userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endGrant(appID, userID)
	f.queueSigned(EventDataDeletion, appID, f.ScopedID(appID, userID))
}

// TestDeauthorize is the dashboard's button: the app's DeauthorizeURL is told of a user "0".
func (f *Facebook) TestDeauthorize(appID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queueSigned(EventDeauthorize, appID, "0")
}

// Notify has the webhook of an app that subscribed to an object told anything: entry is a value that encoding/json can
// encode, and stands alone in the entry list.
func (f *Facebook) Notify(appID, object string, entry any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.books.subscriptions[subscriptionKey{appID, object}] != nil {
		f.books.events = append(f.books.events, event{
			kind: EventWebhook, app: appID, object: object, payload: map[string]any{"object": object, "entry": []any{entry}},
		})
	}
}
