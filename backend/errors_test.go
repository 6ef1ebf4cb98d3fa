package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A consequence is what an error of a class does: to the caller, to the
// credential that it was about, and to the session that was under way.
type consequence struct {
	code     string // the API's
	http     int
	status   string // of the credential
	failures int
	session  string // its status
}

var consequences = map[string]consequence{
	"transient":     {"unavailable", 502, "active", 1, "authorized"},
	"throttled":     {"throttled", 429, "active", 0, "authorized"},
	"needs_reauth":  {"needs_reauth", 409, "needs_reauth", 1, "failed"},
	"revoked":       {"revoked", 409, "revoked", 1, "failed"},
	"permission":    {"needs_reauth", 409, "active", 1, "failed"},
	"misconfigured": {"misconfigured", 424, "active", 0, "failed"},
	"caller":        {"invalid_request", 400, "active", 1, "failed"},
	// A verdict of death that is not confirmed yet.
	"doubtful": {"unavailable", 502, "active", 1, "failed"},
	// A call that the engine made wrong: no caller can do better.
	"unexpected": {"unavailable", 502, "active", 1, "failed"},
	// A client that is refused for this token, and for no other.
	"refused": {"misconfigured", 424, "active", 1, "failed"},
}

// An answer is an error that the provider's tables and reports know, and its
// class by the kind of the call: the token endpoint, where the client's secret is
// what is refused; a token of a person or a business; the client's own.
type answer struct {
	error  authpipetest.GraphError
	status int

	tokenEndpoint, theirs, client string
}

// answers are all that are known.
func answers() []answer {
	yes := true
	type graph = authpipetest.GraphError
	all := func(g graph, status int, class string) answer { return answer{g, status, class, class, class} }
	return []answer{
		{graph{Code: 1, Message: "Error validating client secret."}, 400, "misconfigured", "transient", "transient"},
		all(graph{Code: 1, Message: "An unknown error occurred"}, 400, "transient"), // refuses one token for weeks (C13)
		all(graph{Code: 1, Message: "An unknown error occurred"}, 500, "transient"), // comes and goes (C12)
		all(graph{Code: 5, Message: "Unauthorized source IP address"}, 400, "misconfigured"),
		all(graph{Code: 2, Message: "Service temporarily unavailable"}, 500, "transient"),
		all(graph{Code: 3, Message: "Capability"}, 400, "misconfigured"),
		all(graph{Code: 4, Message: "Application request limit reached"}, 400, "throttled"),
		all(graph{Code: 4, Subcode: 1349210}, 400, "throttled"),
		all(graph{Code: 10, Message: "Application does not have permission"}, 403, "permission"),
		all(graph{Code: 12, Message: "Deprecated"}, 400, "transient"),
		all(graph{Code: 17, Message: "User request limit reached"}, 400, "throttled"),
		all(graph{Code: 17, Subcode: 2446079}, 400, "throttled"),
		all(graph{Code: 32}, 400, "throttled"),
		all(graph{Code: 100, Message: "Invalid parameter"}, 400, "caller"),
		all(graph{Code: 100, Subcode: 33, Message: "Unsupported get request."}, 400, "caller"),
		{graph{Code: 100, Subcode: 36008, Message: "Error validating verification code."}, 400, "misconfigured", "caller", "caller"},
		all(graph{Code: 100, Type: "GraphMethodException", Message: "Invalid appsecret_proof provided in the API argument"}, 400, "misconfigured"),
		all(graph{Code: 100, Type: "GraphMethodException", Message: "Invalid app secret proof provided in the API argument"}, 400, "misconfigured"),
		all(graph{Code: 100, Message: "(#100) Missing Permission"}, 400, "permission"),
		all(graph{Code: 101, Message: "Error validating application. Invalid application ID."}, 400, "misconfigured"),
		all(graph{Code: 101, Message: "Cannot get application info due to a system error."}, 400, "transient"),
		{graph{Code: 102, Message: "Session"}, 400, "needs_reauth", "needs_reauth", "misconfigured"},
		all(graph{Code: 104, Message: "Incorrect signature"}, 400, "misconfigured"),
		{graph{Code: 190, Message: "This method must be called with a Page Access Token"}, 400, "caller", "caller", "misconfigured"},
		{graph{Code: 190, Message: "Cannot parse access token"}, 401, "needs_reauth", "needs_reauth", "misconfigured"},
		{graph{Code: 190, Subcode: 456}, 400, "needs_reauth", "needs_reauth", "misconfigured"},
		all(graph{Code: 190, Subcode: 458, Message: "The user has not authorized application."}, 400, "revoked"),
		{graph{Code: 190, Subcode: 459, Message: "Checkpoint"}, 400, "needs_reauth", "needs_reauth", "misconfigured"},
		{graph{Code: 190, Subcode: 460, Message: "Password changed"}, 400, "needs_reauth", "needs_reauth", "misconfigured"},
		{graph{Code: 190, Subcode: 463, Message: "Session has expired"}, 400, "needs_reauth", "needs_reauth", "misconfigured"},
		{graph{Code: 190, Subcode: 464, Message: "Unconfirmed user"}, 400, "needs_reauth", "needs_reauth", "misconfigured"},
		{graph{Code: 190, Subcode: 467, Message: "Logged out"}, 400, "needs_reauth", "needs_reauth", "misconfigured"},
		{graph{Code: 190, Subcode: 492, Message: "No page role"}, 400, "permission", "permission", "misconfigured"},
		{graph{Code: 190, Subcode: 493, Message: "The user has not used the app for 90 days"}, 400, "permission", "permission", "misconfigured"},
		all(graph{Code: 191}, 400, "misconfigured"),
		all(graph{Code: 200}, 403, "permission"),
		all(graph{Code: 190, Message: "(#190) The pages_read_engagement permission(s) must be granted before impersonating a user's page."}, 400, "permission"),
		all(graph{Code: 200, Message: "(#200) Provide valid app ID"}, 403, "misconfigured"), // the app is gone
		all(graph{Code: 200, Message: "API access deactivated. To reactivate, go to the app dashboard."}, 400, "misconfigured"),
		all(graph{Code: 200, Message: "(#200) Access to this data is temporarily disabled for non-active apps"}, 400, "misconfigured"),
		all(graph{Code: 299}, 403, "permission"),
		all(graph{Code: 341}, 400, "throttled"),
		all(graph{Code: 368, Message: "Blocked for policy"}, 400, "transient"),
		{graph{Code: 452, Message: "The session has expired"}, 400, "needs_reauth", "needs_reauth", "misconfigured"}, // a subcode as the code (C8)
		{graph{Code: 459, Message: "Checkpoint"}, 400, "needs_reauth", "needs_reauth", "misconfigured"},
		all(graph{Code: 458, Message: "The user has not authorized application."}, 400, "revoked"),
		{graph{Code: 3962, Message: "Session"}, 400, "needs_reauth", "needs_reauth", "misconfigured"},
		all(graph{Code: 506}, 400, "transient"),
		all(graph{Code: 613, Message: "Calls to this api have exceeded the rate limit."}, 400, "throttled"),
		all(graph{Code: 2500, Message: "Unknown path components: /x"}, 400, "misconfigured"),
		all(graph{Code: 2500, Message: "An active access token must be used to query information about the current user."}, 400, "transient"),
		all(graph{Code: 2635}, 400, "misconfigured"),
		all(graph{Code: 80000, Subcode: 2446079}, 400, "throttled"),
		all(graph{Code: 80001, Message: "(#80001) There have been too many calls to this Page account."}, 400, "throttled"),
		all(graph{Code: 80014}, 400, "throttled"),
		all(graph{Code: 987654, Message: "nobody knows"}, 400, "transient"),
		all(graph{Code: 987654, IsTransient: &yes}, 400, "transient"),
		all(graph{Code: 190, Subcode: 460, IsTransient: &yes}, 400, "transient"),
		all(graph{Code: 190, Subcode: 458, IsTransient: &yes}, 503, "transient"), // a server that fails says nothing of the token
	}
}

// ofToken is the class where the answer is about a token that the engine has
// known as alive: some verdicts of death are confirmed before they are believed.
func ofToken(class string, g authpipetest.GraphError) string {
	switch class {
	case "caller":
		return "unexpected"
	case "misconfigured":
		return "refused"
	}
	if class == "needs_reauth" && (g.Code != 190 && g.Code != 452 && g.Code != 459 || g.Subcode == 0 && g.Code == 190 || g.Subcode == 463) {
		return "doubtful"
	}
	return class
}

// recorded is the class that stands in last_error.
func recorded(class string) string {
	switch class {
	case "doubtful":
		return "needs_reauth"
	case "unexpected":
		return "caller"
	case "refused":
		return "misconfigured"
	}
	return class
}

// ofFresh is the class where the answer is about a token that was issued a moment
// ago: it is asked about again when the session is completed again.
func ofFresh(class string, g authpipetest.GraphError) string {
	if ofToken(class, g) == "doubtful" && g.Subcode != 463 {
		return "transient"
	}
	return class
}

// ofPages is the class where a call for the list of pages has the answer, and the
// token above is found to live.
func ofPages(class string, g authpipetest.GraphError) string {
	if of := ofToken(class, g); class == "caller" || of == "doubtful" && g.Subcode != 463 {
		return of
	}
	return class
}

// at has the provider answer so at the endpoints.
func (a answer) at(e *enginetest.Engine, endpoints ...string) {
	for _, endpoint := range endpoints {
		e.Facebook.Fail(authpipetest.Fault{Endpoint: endpoint, Status: a.status, Error: &a.error})
	}
}

// suffered checks what the answer did to the credential.
func suffered(e *enginetest.Engine, ref, class string, a authpipetest.GraphError) {
	e.T.Helper()
	want := consequences[class]
	c := e.Read("connections/" + ref)
	if c["status"] != want.status || c["consecutive_failures"] != want.failures {
		e.T.Errorf("the credential is %v after %v failures, want %s after %d", c["status"], c["consecutive_failures"], want.status, want.failures)
	}
	if last, ok := c["last_error"].(map[string]any); ok != (want.failures > 0) ||
		ok && (last["code"] != a.Code || last["subcode"] != a.Subcode || last["class"] != recorded(class)) {
		e.T.Errorf("last_error is %v", c["last_error"])
	}
	if want.status == "active" {
		e.Read("creds/" + ref)
	} else {
		e.Refused(want.status, 409, logical.ReadOperation, "creds/"+ref, nil)
	}
}

// traced checks that the credential's failure has what the provider's support desk
// needs.
func traced(e *enginetest.Engine, ref string) {
	e.T.Helper()
	if last, ok := e.Read("connections/" + ref)["last_error"].(map[string]any); ok && last["fbtrace_id"] == "" {
		e.T.Errorf("last_error holds no trace: %v", last)
	}
}

// completed checks what the answer did to the session, on each way to complete it.
func completed(e *enginetest.Engine, s enginetest.Session, proof map[string]any, class, status string) {
	e.T.Helper()
	want := consequences[class]
	e.Refused(want.code, want.http, logical.UpdateOperation, s.Path+"/complete", proof)
	if got := e.Read(s.Path)["status"]; got != status {
		e.T.Errorf("the session is %v, want %s", got, status)
	}
}

// TestErrorDecidesCredentialStatus has the provider answer every error that is known to
// every call that the engine makes. Each has an engine to itself: after some of
// the errors the provider is left alone.
func TestErrorDecidesCredentialStatus(t *testing.T) {
	for call, test := range map[string]func(*testing.T, answer){
		"a refresh":                            errorAtARefresh,
		"the exchange of a code":               errorAtAnExchange,
		"a check":                              errorAtACheck,
		"a batch":                              errorInABatch,
		"a revocation":                         errorAtARevocation,
		"a business's revocation":              errorAtABusinessRevocation,
		"the list of pages":                    errorAtThePages,
		"the question for a business":          errorAtTheBusiness,
		"the question for a person's business": errorAtAPersonsBusiness,
		"the beginning on a device":            errorAtADevice,
		"a poll of a device":                   errorAtAPoll,
	} {
		for _, a := range answers() {
			t.Run(fmt.Sprintf("%s/%d-%d-%s", call, a.error.Code, a.error.Subcode, a.error.Message), func(t *testing.T) {
				t.Parallel()
				test(t, a)
			})
		}
	}
}

func errorAtARefresh(t *testing.T, a answer) {
	e, class := enginetest.Connected(t, authpipetest.Options{}), ofToken(a.tokenEndpoint, a.error)
	want := consequences[class]
	a.at(e, authpipetest.EndpointExchangeToken)
	e.Refused(want.code, want.http, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	suffered(e, enginetest.Uma, class, a.error)
	traced(e, enginetest.Uma)
}

func errorAtAnExchange(t *testing.T, a answer) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	s := e.Begin(enginetest.Udo, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	a.at(e, authpipetest.EndpointAccessToken)
	completed(e, s, map[string]any{"actor": "udo", "connect_code": code}, a.tokenEndpoint, consequences[a.tokenEndpoint].session)
}

// inspection is the class of the answer to debug_token. A code 100 says nothing
// of a token that lives.
func (a answer) inspection() string {
	if a.client == "caller" {
		return "transient"
	}
	return a.client
}

func errorAtACheck(t *testing.T, a answer) {
	e, want := enginetest.Connected(t, authpipetest.Options{}), consequences[a.inspection()]
	a.at(e, authpipetest.EndpointDebugToken)
	e.Refused(want.code, want.http, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	suffered(e, enginetest.Uma, a.inspection(), a.error)
	traced(e, enginetest.Uma)
}

// errorInABatch has it answered to each call in a batch.
func errorInABatch(t *testing.T, a answer) {
	e := enginetest.Connected(t, authpipetest.Options{})
	a.at(e, authpipetest.EndpointDebugToken)
	n := e.Facebook.Count(authpipetest.EndpointBatch)
	e.After(enginetest.Day)
	want := 1
	if a.client == "misconfigured" {
		want = 2 // the probe is another
	}
	if got := e.Facebook.Count(authpipetest.EndpointBatch) - n; got != want {
		t.Fatalf("%d batches were sent, want %d", got, want)
	}
	for _, ref := range []string{enginetest.Uma, enginetest.Installation} {
		suffered(e, ref, a.inspection(), a.error)
		traced(e, ref)
	}
}

// errorAtARevocation deletes nothing, unless it says that there is no grant any
// more.
func errorAtARevocation(t *testing.T, a answer) {
	e, want := enginetest.Connected(t, authpipetest.Options{}), consequences[a.client]
	a.at(e, authpipetest.EndpointRevoke)
	if a.client == "revoked" {
		e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
		return
	}
	e.Refused(want.code, want.http, logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	e.CheckHealthy([]string{enginetest.Uma})
	e.Read("creds/" + enginetest.Uma)
}

// errorAtABusinessRevocation is about the token that is revoked: a dead one is
// as good as revoked.
func errorAtABusinessRevocation(t *testing.T, a answer) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	a.at(e, authpipetest.EndpointRevokeToken)
	if a.tokenEndpoint == "revoked" || a.tokenEndpoint == "needs_reauth" {
		e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
		return
	}
	want := consequences[a.tokenEndpoint]
	e.Refused(want.code, want.http, logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.CheckHealthy([]string{enginetest.Installation})
	e.Read("creds/" + enginetest.Installation)
}

// errorAtThePages says nothing that is believed of the installation above them:
// that is asked about, and lives.
func errorAtThePages(t *testing.T, a answer) {
	e, want := enginetest.Connected(t, authpipetest.Options{}), consequences[ofPages(a.theirs, a.error)]
	a.at(e, authpipetest.EndpointAccounts)
	e.Refused(want.code, want.http, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
	e.CheckHealthy([]string{enginetest.Installation})
	e.Read("creds/" + enginetest.Installation)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Page777, nil)
}

func errorAtTheBusiness(t *testing.T, a answer) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
	a.at(e, authpipetest.EndpointMe)
	class := ofFresh(a.theirs, a.error)
	completed(e, s, map[string]any{"actor": "admin", "connect_code": code}, class, consequences[class].session)
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
}

// errorAtAPersonsBusiness does not keep a person from connecting whose token may not
// ask for the business: a business's token may.
func errorAtAPersonsBusiness(t *testing.T, a answer) {
	e := enginetest.New(t, authpipetest.Options{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	proof := map[string]any{"actor": "admin", "connect_code": e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)}
	a.at(e, authpipetest.EndpointMe)
	if a.theirs == "caller" || a.theirs == "permission" {
		e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
		e.Read("creds/" + enginetest.Installation)
		return
	}
	class := ofFresh(a.theirs, a.error)
	completed(e, s, proof, class, consequences[class].session)
}

func errorAtADevice(t *testing.T, a answer) {
	e, _, _ := enginetest.Device(t, enginetest.Installation, "admin")
	want := consequences[a.client]
	a.at(e, authpipetest.EndpointDeviceLogin)
	e.Refused(want.code, want.http, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "grant": "device"})
}

// errorAtAPoll ends the login, unless it passes: then the device is polled
// again.
func errorAtAPoll(t *testing.T, a answer) {
	e, s, _ := enginetest.Device(t, enginetest.Installation, "admin")
	a.at(e, authpipetest.EndpointDeviceStatus)
	e.Clock.Advance(5 * time.Second)
	completed(e, s, map[string]any{"actor": "admin"}, a.client, strings.Replace(consequences[a.client].session, "authorized", "pending", 1))
}
