package authpipe

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// A ConnectRequest begins a session: one run from the authorization URL to the stored credential.
type ConnectRequest struct {
	Provider string // zero: DefaultProvider
	Tenant   string // required
	User     string // whose credential it is to be, with ForUser

	// For is ForInstallation or ForUser. It is required: without it, an empty User would begin an installation. ForUser with an
	// empty User is ErrInvalidRequest.
	For For

	// Actor is the application's own id of the person signed in to it now: never taken from the request, nor from what was stored
	// before. The same person must complete the session. Required for an installation; for a user the default is User.
	Actor string

	ReturnURL   string   // where the browser goes in the end; one of the configuration's return_urls
	RedirectURI string   // one of the configuration's redirect_uris. Zero: the first
	Scopes      []string // instead of the configuration's

	Completion         string // "confirm", where the configuration says callback; it may only tighten
	Reauthorize        bool   // ask again for permissions that were declined
	AllowAccountChange bool   // let another account of the provider replace the connected one
	Device             bool   // a login without a browser: see [Started].UserCode

	// Grant is "sdk" if the provider's JavaScript SDK opens the dialog (FB.login, Embedded Signup) and hands the code to the page:
	// Complete then takes that code, with [Started].State, as Answer. There is no redirect and no return URL. Zero: "code", or
	// "device" if Device is set.
	Grant string
}

// Started is a session that has begun.
type Started struct {
	Session   string    `json:"session_id"`
	ExpiresAt time.Time `json:"expires_at"`
	// Completion is "confirm" if the application completes the session, or "callback" if the provider's callback does.
	Completion string `json:"completion"`

	// AuthorizationURL is where to send the person's browser.
	AuthorizationURL string `json:"authorization_url"`

	// State is needed to complete the session, beside the code, if Grant is "sdk". There is no AuthorizationURL then.
	State string `json:"state"`

	// UserCode is the code that the person types in at VerificationURI, for a device. Each Complete polls the provider; call it
	// every Interval seconds.
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	Interval        int    `json:"interval"`
}

// String implements [fmt.Stringer]. It leaves out the URL, which has the session's state in it, and the user code: neither belongs
// in a log.
func (s Started) String() string { return "session " + s.Session }

// Format implements [fmt.Formatter], for the verbs that do not call String.
func (s Started) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s Started) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON implements [json.Marshaler]. Like String, it shows neither the URL nor the user code: send AuthorizationURL itself to
// the browser.
func (s Started) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"session_id": s.Session, "expires_at": s.ExpiresAt, "completion": s.Completion,
		"verification_uri": s.VerificationURI, "interval": s.Interval,
	})
}

// Connect begins a session. It makes no provider request, except for a device.
func (c *Client) Connect(ctx context.Context, q ConnectRequest) (Started, error) {
	r, err := (&Request{Provider: q.Provider, Tenant: q.Tenant, User: q.User, For: q.For}).exact()
	if err != nil {
		return Started{}, err
	}
	body := map[string]any{}
	for name, value := range map[string]string{
		"actor": q.Actor, "return_url": q.ReturnURL, "redirect_uri": q.RedirectURI, "completion": q.Completion, "grant": q.Grant,
	} {
		if value != "" {
			body[name] = value
		}
	}
	for name, value := range map[string]bool{"reauthorize": q.Reauthorize, "allow_account_change": q.AllowAccountChange} {
		if value {
			body[name] = true
		}
	}
	if len(q.Scopes) > 0 {
		body["scopes"] = q.Scopes
	}
	if q.Device {
		body["grant"] = "device"
	}
	got, err := put[Started](ctx, c.mount, "writing "+r.connectPath(), r.connectPath(), body)
	return got.Data, err
}

// A Completion completes a session in the name of the application.
type Completion struct {
	Tenant  string
	Session string // zero: the session of the state in Answer

	// Actor is the application's own id of the person signed in to it now, again never taken from the request or from what was
	// stored at the start. If it differs from the actor at the start, a person has followed a link that was made for another
	// one: the engine fails the session with ErrActorMismatch, and destroys the code.
	Actor string

	// ConnectCode is the proof that the callback page passed to the return URL, or showed.
	ConnectCode Secret
	// Answer is the proof if the application hosts the redirect URI itself: the query as the provider sent it. Without either
	// proof the engine asks the provider whether the person has approved the device.
	Answer url.Values
}

// String implements [fmt.Stringer]. Answer has a code and a state in it.
func (q Completion) String() string { return "completion of session " + q.Session }

// Format implements [fmt.Formatter], for the verbs that do not call String.
func (q Completion) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, q.String()) }

// LogValue implements [slog.LogValuer].
func (q Completion) LogValue() slog.Value { return slog.StringValue(q.String()) }

// MarshalJSON implements [json.Marshaler]: like String, it shows neither proof.
func (q Completion) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"tenant": q.Tenant, "session": q.Session, "actor": q.Actor})
}

// answerFields are the fields of a provider's answer that the engine takes.
var answerFields = []string{"state", "code", "error", "error_reason", "error_description", "error_code", "error_message"}

// SessionOf returns the id of the session that a provider's state belongs to. It ignores the fragment that a browser appends to a
// URL (#_=_).
func SessionOf(state string) string {
	state, _, _ = strings.Cut(state, "#")
	sum := sha256.Sum256([]byte(state))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Complete completes a session and returns its connection. From then on this client returns the new credential. Complete may be
// repeated with the same proof. ErrPending means that the person has not approved a device yet, ErrUnavailable that the provider
// could not be reached, and that the session can still be completed.
func (c *Client) Complete(ctx context.Context, q Completion) (Connection, error) {
	session := q.Session
	if session == "" {
		session = SessionOf(q.Answer.Get("state"))
	}
	path, err := sessionPath(q.Tenant, session)
	if err != nil {
		return Connection{}, err
	}
	body := map[string]any{"actor": q.Actor}
	if !q.ConnectCode.IsZero() {
		body["connect_code"] = q.ConnectCode.Reveal()
	}
	for _, name := range answerFields {
		if q.Answer.Has(name) {
			body[name] = q.Answer.Get(name)
		}
	}
	got, err := put[Connection](ctx, c.mount, "completing "+path, path+"/complete", body)
	if err != nil {
		return Connection{}, err
	}
	if r, ok := parseRef(got.Data.Ref); ok {
		c.cache.forget(r)
	}
	got.Data.Warnings = got.Warnings
	return got.Data, nil
}

// A Connection is the state of a credential, without its secrets.
type Connection struct {
	Ref            string    `json:"ref"`
	Tenant         string    `json:"tenant_id"`
	Provider       string    `json:"provider"`
	User           string    `json:"user_id"`
	Page           string    `json:"page_id"`
	Type           string    `json:"credential_type"`
	Status         string    `json:"status"`
	ProviderUserID string    `json:"provider_user_id"`
	BusinessID     string    `json:"business_id"`
	Scopes         []string  `json:"scopes"`
	MissingScopes  []string  `json:"missing_scopes"`
	ExpiresAt      time.Time `json:"expires_at"` // zero: it does not expire

	ConnectedAt time.Time `json:"connected_at"`
	ConnectedBy struct {
		Actor       string `json:"actor"`
		EntityID    string `json:"entity_id"`
		DisplayName string `json:"display_name"`
	} `json:"connected_by"`
	RefreshedAt time.Time `json:"refreshed_at"`
	CheckedAt   time.Time `json:"checked_at"`

	Warnings []string `json:"-"`
}

// Connection reads the state of a credential. It is not cached. ForAny is ErrInvalidRequest, because it does not name one
// credential.
func (c *Client) Connection(ctx context.Context, q Request) (Connection, error) {
	r, err := q.exact()
	if err != nil {
		return Connection{}, err
	}
	path := "connections/" + r.String()
	got, err := get[Connection](ctx, c.mount, "reading "+path, path, nil)
	got.Data.Warnings = got.Warnings
	return got.Data, typed(r, err)
}

// A Session is the state of one run from the authorization URL to the stored credential.
type Session struct {
	ID        string    `json:"session_id"`
	Ref       string    `json:"ref"`
	Status    string    `json:"status"` // pending, authorized, redeeming, completed, failed or expired
	Actor     string    `json:"actor"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	ReturnURL string    `json:"return_url"`

	// Error is the reason of a failure: a [Code], "interrupted" or "cancelled".
	Error            Code   `json:"error"`
	ErrorDescription string `json:"error_description"`
}

// Session reads the state of a session of the tenant. A session of another tenant is ErrNotFound.
func (c *Client) Session(ctx context.Context, tenant, session string) (Session, error) {
	path, err := sessionPath(tenant, session)
	if err != nil {
		return Session{}, err
	}
	got, err := get[Session](ctx, c.mount, "reading "+path, path, nil)
	return got.Data, err
}

// Cancel ends an unfinished session.
func (c *Client) Cancel(ctx context.Context, tenant, session string) error {
	path, err := sessionPath(tenant, session)
	if err != nil {
		return err
	}
	return c.mount.remove(ctx, path)
}

// sessionPath refuses an id that could lead to another path: it may come from a URL that anyone can write.
func sessionPath(tenant, session string) (string, error) {
	if err := checkName("tenant", tenant, 64, tenantMarks); err != nil {
		return "", err
	}
	id, err := base64.RawURLEncoding.DecodeString(session)
	// DecodeString ignores line ends.
	if err != nil || len(id) != sha256.Size || base64.RawURLEncoding.EncodeToString(id) != session {
		return "", invalid("session", "is not the id of a session")
	}
	return "sessions/" + tenant + "/" + session, nil
}
