package backend_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// A consequence is what an error of a class does: to who asked for a refresh,
// to the credential, and to a session whose code was being exchanged.
type consequence struct {
	code     string // the API's, at a refresh
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
}

// TestWhatEachErrorDoes has the provider answer every error that its tables
// and reports know, to a refresh and to the exchange of a code.
func TestWhatEachErrorDoes(t *testing.T) {
	yes := true
	type graph = authpipetest.GraphError
	for _, row := range []struct {
		error  graph
		status int
		class  string
	}{
		{graph{Code: 1, Message: "Error validating client secret."}, 400, "misconfigured"},
		{graph{Code: 2, Message: "Service temporarily unavailable"}, 500, "transient"},
		{graph{Code: 3, Message: "Capability"}, 400, "misconfigured"},
		{graph{Code: 4, Message: "Application request limit reached"}, 400, "throttled"},
		{graph{Code: 4, Subcode: 1349210}, 400, "throttled"},
		{graph{Code: 10, Message: "Application does not have permission"}, 403, "permission"},
		{graph{Code: 12, Message: "Deprecated"}, 400, "transient"},
		{graph{Code: 17, Message: "User request limit reached"}, 400, "throttled"},
		{graph{Code: 17, Subcode: 2446079}, 400, "throttled"},
		{graph{Code: 32}, 400, "throttled"},
		{graph{Code: 100, Message: "Invalid parameter"}, 400, "caller"},
		{graph{Code: 100, Subcode: 33, Message: "Unsupported get request."}, 400, "caller"},
		{graph{Code: 100, Subcode: 36008, Message: "Error validating verification code."}, 400, "misconfigured"},
		{graph{Code: 100, Type: "GraphMethodException", Message: "Invalid appsecret_proof provided in the API argument"}, 400, "misconfigured"},
		{graph{Code: 101, Message: "Error validating application. Invalid application ID."}, 400, "misconfigured"},
		{graph{Code: 102, Message: "Session"}, 400, "needs_reauth"},
		{graph{Code: 104, Message: "Incorrect signature"}, 400, "misconfigured"},
		{graph{Code: 190, Message: "This method must be called with a Page Access Token"}, 400, "caller"},
		{graph{Code: 190, Message: "Cannot parse access token"}, 401, "needs_reauth"},
		{graph{Code: 190, Subcode: 456}, 400, "needs_reauth"},
		{graph{Code: 190, Subcode: 458, Message: "The user has not authorized application."}, 400, "revoked"},
		{graph{Code: 190, Subcode: 459, Message: "Checkpoint"}, 400, "needs_reauth"},
		{graph{Code: 190, Subcode: 460, Message: "Password changed"}, 400, "needs_reauth"},
		{graph{Code: 190, Subcode: 463, Message: "Session has expired"}, 400, "needs_reauth"},
		{graph{Code: 190, Subcode: 464, Message: "Unconfirmed user"}, 400, "needs_reauth"},
		{graph{Code: 190, Subcode: 467, Message: "Logged out"}, 400, "needs_reauth"},
		{graph{Code: 190, Subcode: 492, Message: "No page role"}, 400, "permission"},
		{graph{Code: 191}, 400, "misconfigured"},
		{graph{Code: 200}, 403, "permission"},
		{graph{Code: 299}, 403, "permission"},
		{graph{Code: 341}, 400, "throttled"},
		{graph{Code: 368, Message: "Blocked for policy"}, 400, "transient"},
		{graph{Code: 506}, 400, "transient"},
		{graph{Code: 613, Message: "Calls to this api have exceeded the rate limit."}, 400, "throttled"},
		{graph{Code: 2500, Message: "Unknown path components: /x"}, 400, "misconfigured"},
		{graph{Code: 2635}, 400, "misconfigured"},
		{graph{Code: 80000, Subcode: 2446079}, 400, "throttled"},
		{graph{Code: 80001, Message: "(#80001) There have been too many calls to this Page account."}, 400, "throttled"},
		{graph{Code: 80014}, 400, "throttled"},
		{graph{Code: 987654, Message: "nobody knows"}, 400, "transient"},
		{graph{Code: 987654, IsTransient: &yes}, 400, "transient"},
		{graph{Code: 190, Subcode: 458, IsTransient: &yes}, 503, "transient"}, // a server that fails says nothing of the token
	} {
		t.Run(fmt.Sprintf("%d-%d-%s", row.error.Code, row.error.Subcode, row.class), func(t *testing.T) {
			t.Parallel()
			e := both(t, authpipetest.Options{})
			want := consequences[row.class]
			s := e.begin(udo, nil)
			code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
			for _, endpoint := range []string{authpipetest.EndpointExchangeToken, authpipetest.EndpointAccessToken} {
				e.fb.Fail(authpipetest.Fault{Endpoint: endpoint, Status: row.status, Error: &row.error})
			}
			e.refused(want.code, want.http, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
			c := e.read("connections/" + uma)
			if c["status"] != want.status || c["consecutive_failures"] != want.failures {
				t.Errorf("the credential is %v after %v failures, want %s after %d", c["status"], c["consecutive_failures"], want.status, want.failures)
			}
			if last, ok := c["last_error"].(map[string]any); ok != (want.failures > 0) || ok && (last["code"] != row.error.Code || last["subcode"] != row.error.Subcode || last["class"] != row.class || last["fbtrace_id"] == "") {
				t.Errorf("last_error is %v", c["last_error"])
			}
			_, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
			checkCode(t, err, want.code, want.http)
			if got := e.read(s.path)["status"]; got != want.session {
				t.Errorf("the session is %v, want %s", got, want.session)
			}
			if want.status == "active" {
				e.read("creds/" + uma)
			} else {
				e.refused(want.status, 409, logical.ReadOperation, "creds/"+uma, nil)
			}
		})
	}
}
