package facebook

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

const (
	// maxDelivery is how long a delivery may be. A thousand entries, which Facebook
	// puts into one at most, are shorter.
	maxDelivery = 1 << 20
	maxEntries  = 1000
)

// OpenDelivery implements [provider.Notifier] (Meta: "Webhooks, Getting
// Started"): signature is the header X-Hub-Signature-256, over the bytes of the
// body as they came. Of the objects that an app can subscribe to, permissions
// and application (Meta: "Business Integration Webhooks") are about grants.
func (p notices) OpenDelivery(c oauth.Client, body []byte, signature string) ([]provider.Notification, error) {
	if len(body) > maxDelivery {
		return nil, unverified("it is too long")
	}
	if !signedWithEither(c, string(body), signature, func(sum []byte) string { return "sha256=" + hex.EncodeToString(sum) }) {
		return nil, unverified("the signature is wrong")
	}
	var delivery struct {
		Object string            `json:"object"`
		Entry  []json.RawMessage `json:"entry"`
	}
	if json.Unmarshal(body, &delivery) != nil || len(delivery.Entry) > maxEntries {
		return nil, unverified("it is no delivery")
	}
	read, ok := map[string]func(entry) []provider.Notification{"permissions": personWords, "application": businessWords}[delivery.Object]
	if !ok {
		return nil, nil
	}
	var words []provider.Notification
	for _, raw := range delivery.Entry {
		var e entry
		if json.Unmarshal(raw, &e) == nil { // one that cannot be read keeps no other from being heard
			words = append(words, read(e)...)
		}
	}
	return p.distinct(words), nil
}

// entry is one of a delivery: what happened to one object.
type entry struct {
	ID      looseID   `json:"id"`
	UID     looseID   `json:"uid"`
	Time    looseTime `json:"time"`
	Changes []change  `json:"changes"`
	// ChangedFields are there in place of Changes if the app does not subscribe to
	// values.
	ChangedFields []string `json:"changed_fields"`
}

// change is one of an entry. The verb of the field connected has been seen in
// the value and beside the field.
type change struct {
	Field string          `json:"field"`
	Verb  string          `json:"verb"`
	Value json.RawMessage `json:"value"`
}

type changeValue struct {
	Verb     string  `json:"verb"`
	Business looseID `json:"business_manager_id"`
}

// value is what is understood of the change's value, which may be anything.
func (c change) value() (v changeValue) {
	_ = json.Unmarshal(c.Value, &v)
	return v
}

// looseID is a decimalID that is empty if it is none.
type looseID string

// UnmarshalJSON implements [json.Unmarshaler].
func (id *looseID) UnmarshalJSON(b []byte) error {
	var decimal decimalID
	if decimal.UnmarshalJSON(b) == nil {
		*id = looseID(decimal)
	}
	return nil
}

// looseTime is a Unix time stamp that is the zero time if it is none.
type looseTime struct{ time.Time }

// UnmarshalJSON implements [json.Unmarshaler].
func (t *looseTime) UnmarshalJSON(b []byte) error {
	if seconds, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		t.Time = unixTime(seconds)
	}
	return nil
}

// personWords reads an entry of the object permissions: the fields are a
// person's permissions, and connected for the app as a whole.
func personWords(e entry) []provider.Notification {
	w := provider.Notification{Account: string(e.UID), At: e.Time.Time}
	if w.Account == "" {
		w.Account = string(e.ID)
	}
	if w.Account == "" || len(e.Changes) == 0 && len(e.ChangedFields) == 0 {
		return nil
	}
	for _, c := range e.Changes {
		if c.Field == "connected" && (c.Verb == "revoked" || c.value().Verb == "revoked") {
			w.Gone, w.Reason = true, removedByPerson
		}
	}
	return []provider.Notification{w}
}

// businessWords reads an entry of the object application. It is the app's, and
// each change names the business.
func businessWords(e entry) (words []provider.Notification) {
	for _, c := range e.Changes {
		w := provider.Notification{Business: string(c.value().Business), At: e.Time.Time}
		switch c.Field {
		case "business_integration_uninstall":
			w.Gone, w.Reason = true, removedByBusiness
		case "business_integration_install", "business_integration_update":
		default:
			continue
		}
		if w.Business != "" {
			words = append(words, w)
		}
	}
	return words
}

// distinct returns one word for each thing that words say, the last: a batch
// costs no more than there are accounts in it. A time that lies ahead is none.
func (p notices) distinct(words []provider.Notification) (all []provider.Notification) {
	type saying struct {
		account, business string
		gone              bool
	}
	place := map[saying]int{}
	for _, w := range words {
		if w.At.Sub(p.now()) > earliestRequest {
			w.At = time.Time{}
		}
		s := saying{w.Account, w.Business, w.Gone}
		i, said := place[s]
		switch {
		case !said:
			place[s] = len(all)
			all = append(all, w)
		case all[i].At.Before(w.At):
			all[i] = w
		}
	}
	return all
}
