package enginetest

import (
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// Connected is New with the installation and Uma connected.
func Connected(t testing.TB, o authpipetest.Options) *Engine {
	t.Helper()
	e := New(t, o)
	e.Install()
	e.Connect(Uma, "uma", authpipetest.Consent{User: "uma"})
	return e
}

// Authorized returns an engine with a session whose code is parked, and its
// connect code.
func Authorized(t *testing.T) (e *Engine, s Session, back *url.URL, code string) {
	t.Helper()
	e = New(t, authpipetest.Options{})
	s = e.Begin(Installation, map[string]any{"actor": "admin"})
	back = e.Consent(s, authpipetest.Consent{User: "ada"})
	return e, s, back, e.Callback(back).ConnectCode(t)
}

// Device returns an engine with a device session, and its user code.
func Device(t *testing.T, ref, actor string) (e *Engine, s Session, userCode string) {
	t.Helper()
	return DeviceWith(t, authpipetest.Options{}, ref, actor)
}

// DeviceWith is Device with other options.
func DeviceWith(t *testing.T, o authpipetest.Options, ref, actor string) (e *Engine, s Session, userCode string) {
	t.Helper()
	e = New(t, o)
	e.Facebook.AddApp(authpipetest.App{ID: AppID, Secret: AppSecret, ClientToken: ClientToken, RedirectURIs: []string{MountURL + "/callback/facebook"}})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_token": ClientToken})
	answer := e.Must(logical.UpdateOperation, "connect/"+ref, map[string]any{"actor": actor, "grant": "device"})
	if answer["authorization_url"] != nil || answer["interval"] != int64(5) || !strings.HasPrefix(answer["verification_uri"].(string), "http") {
		t.Errorf("the session begins with %v", answer)
	}
	id := answer["session_id"].(string)
	return e, Session{ID: id, Path: "sessions/org_acme/" + id}, answer["user_code"].(string)
}

// Business returns an engine whose installations go by a configuration of
// Facebook Login for Business.
func Business(t *testing.T, o authpipetest.Options, b authpipetest.Business, c authpipetest.Configuration) *Engine {
	t.Helper()
	e := New(t, o)
	e.Facebook.AddApp(authpipetest.App{ID: AppID, Secret: AppSecret, RequireAppSecret: true, RedirectURIs: []string{MountURL + "/callback/facebook", "https://app.example.com/oauth"}})
	b.ID, b.Name, b.Admins, b.Pages = BusinessID, "Bakery Ltd", []string{"ada"}, []string{"777"}
	c.ID, c.App, c.Permissions = ConfigID, AppID, []string{"business_management", "pages_show_list", "pages_read_engagement", "pages_manage_posts"}
	e.Facebook.AddBusiness(b)
	e.Facebook.AddConfiguration(c)
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"installation_config_id": ConfigID})
	return e
}

// Populated returns an engine whose tenant org_acme has an installation for a
// business, a page of it, an active user and one whose grant is revoked. Another
// tenant's installation holds the active user's account.
func Populated(t *testing.T) *Engine {
	t.Helper()
	e := Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	e.Read("creds/" + Page777)
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"installation_config_id": ""})
	e.Connect(Globex, "boss", authpipetest.Consent{User: "uma"})
	e.Connect(Uma, "uma", authpipetest.Consent{User: "uma"})
	e.Connect(Udo, "udo", authpipetest.Consent{User: "udo"})
	e.Facebook.RemoveApp(AppID, "udo")
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+Udo+"/check", nil)
	return e
}

// Scoped returns an engine that binds callers by the metadata "tenant": "acme" to
// org_acme; "free" has other metadata; "entity-1", the harness's caller, has none.
func Scoped(t *testing.T) (*Engine, *Directory) {
	t.Helper()
	e := New(t, authpipetest.Options{})
	d := &Directory{Metadata: map[string]map[string]string{
		"entity-1": nil, "free": {"team": "org_acme"}, "acme": {"tenant": "org_acme", "team": "org_globex"},
	}}
	e.RestartOn(d)
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant"})
	return e, d
}
