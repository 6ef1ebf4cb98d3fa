package backend_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestCheckClassifiesDebugTokenErrors covers the answers of debug_token with status 200,
// which are about the token that it was asked about and not about the client.
func TestCheckClassifiesDebugTokenErrors(t *testing.T) {
	type graph = authpipetest.GraphError
	for name, row := range map[string]struct {
		error graph
		class string
	}{
		"no reason":            {graph{}, "needs_reauth"},
		"unknown":              {graph{Code: 1, Message: "An unknown error has occurred."}, "transient"},
		"a service is down":    {graph{Code: 2, Message: "Service temporarily unavailable"}, "transient"},
		"a limit":              {graph{Code: 4, Message: "Application request limit reached"}, "throttled"},
		"nobody knows":         {graph{Code: 987654, Message: "nobody knows"}, "transient"},
		"a session":            {graph{Code: 102, Message: "Session"}, "needs_reauth"},
		"no token at all":      {graph{Code: 190, Message: "Cannot parse access token"}, "needs_reauth"},
		"the password changed": {graph{Code: 190, Subcode: 460, Message: "Password changed"}, "needs_reauth"},
		"it has expired":       {graph{Code: 190, Subcode: 463, Message: "Session has expired"}, "needs_reauth"},
		"the app was removed":  {graph{Code: 190, Subcode: 458, Message: "Not authorized"}, "revoked"},
		"the role is lost":     {graph{Code: 190, Subcode: 492, Message: "No page role"}, "permission"},
		"the wrong kind":       {graph{Code: 190, Message: "This method must be called with a Page Access Token"}, "caller"},
	} {
		want, known := consequences[row.class], consequences[ofToken(row.class, row.error)]
		dead := fmt.Sprintf(`{"app_id":"123","type":"USER","is_valid":false,"scopes":[],"error":{"code":%d,"subcode":%d,"message":%q}}`,
			row.error.Code, row.error.Subcode, row.error.Message)
		t.Run(name+", at a check", func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Facebook.InspectAs(dead)
			e.Refused(known.code, known.http, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			suffered(e, enginetest.Uma, ofToken(row.class, row.error), row.error)
			traced(e, enginetest.Uma)
		})
		t.Run(name+", in a batch", func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Facebook.InspectAs(dead)
			e.After(enginetest.Day)
			for _, ref := range []string{enginetest.Uma, enginetest.Installation} {
				suffered(e, ref, ofToken(row.class, row.error), row.error)
			}
		})
		t.Run(name+", of a token that is imported", func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			token := e.ObtainToken("ada")
			e.Facebook.InspectAs(dead)
			want := want
			if strings.Contains(row.error.Message, "Cannot parse") {
				want.code, want.http = "invalid_request", 400 // it is none, or not whole
			}
			e.Refused(want.code, want.http, logical.UpdateOperation, "creds/"+enginetest.Installation, map[string]any{"access_token": token})
			e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
		})
		t.Run(name+", of one that a code was exchanged for", func(t *testing.T) {
			e, s, _, code := enginetest.Authorized(t)
			e.Facebook.InspectAs(dead)
			class := ofFresh(row.class, row.error)
			completed(e, s, map[string]any{"actor": "admin", "connect_code": code}, class, consequences[class].session)
		})
	}
}

// TestRefusedBatchMarksNoCredential: the error of a whole batch says nothing of any one
// token in it.
func TestRefusedBatchMarksNoCredential(t *testing.T) {
	for _, a := range answers() {
		t.Run(fmt.Sprintf("%d-%d-%s", a.error.Code, a.error.Subcode, a.error.Message), func(t *testing.T) {
			t.Parallel()
			e := enginetest.Connected(t, authpipetest.Options{})
			a.at(e, authpipetest.EndpointBatch)
			e.After(enginetest.Day)
			for _, ref := range []string{enginetest.Uma, enginetest.Installation} {
				if got := e.Read("connections/" + ref)["status"]; got != "active" {
					t.Errorf("%s is %v", ref, got)
				}
				e.Read("creds/" + ref)
			}
		})
	}
}

func TestBatchFindsDeadToken(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.KillToken(e.Read("creds/" + enginetest.Uma)["access_token"].(string), 190, 460, "")
	e.After(enginetest.Day)
	if got := e.Read("connections/" + enginetest.Uma)["status"]; got != "needs_reauth" {
		t.Errorf("the credential is %v", got)
	}
	traced(e, enginetest.Uma)
}

// TestRefusedBatchRevokesNoCredential has the whole of it answered as if the app's
// own token were a person's.
func TestRefusedBatchRevokesNoCredential(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointBatch, Error: &authpipetest.GraphError{Code: 190, Subcode: 458, Message: "The user has not authorized application 123."}})
	e.After(enginetest.Day)
	for _, ref := range []string{enginetest.Uma, enginetest.Installation} {
		if got := e.Read("connections/" + ref)["status"]; got != "active" {
			t.Errorf("%s is %v", ref, got)
		}
	}
}
