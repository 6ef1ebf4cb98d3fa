package backend_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

const clientToken = "client-token-0123456789"

// device returns an engine with a session on a device, and its user code.
func device(t *testing.T, ref, actor string) (e *engine, s session, userCode string) {
	t.Helper()
	return deviceAt(t, authpipetest.Options{}, ref, actor)
}

func deviceAt(t *testing.T, o authpipetest.Options, ref, actor string) (e *engine, s session, userCode string) {
	t.Helper()
	e = newEngine(t, o)
	e.fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, ClientToken: clientToken, RedirectURIs: []string{mountURL + "/callback/facebook"}})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_token": clientToken})
	answer := e.must(logical.UpdateOperation, "connect/"+ref, map[string]any{"actor": actor, "grant": "device"})
	if answer["authorization_url"] != nil || answer["interval"] != int64(5) || !strings.HasPrefix(answer["verification_uri"].(string), "http") {
		t.Errorf("the session begins with %v", answer)
	}
	id := answer["session_id"].(string)
	return e, session{id: id, path: "sessions/org_acme/" + id}, answer["user_code"].(string)
}

func TestAPersonLogsInOnADevice(t *testing.T) {
	e, s, userCode := device(t, installation, "admin")
	complete, actor := s.path+"/complete", map[string]any{"actor": "admin"}
	n := e.fb.Count("")
	e.refused("pending", 409, logical.UpdateOperation, complete, actor)
	if got := e.fb.Count("") - n; got != 0 {
		t.Errorf("before the interval was over the provider was asked %d times", got)
	}
	for range 3 {
		e.clock.Advance(5 * time.Second)
		e.refused("pending", 409, logical.UpdateOperation, complete, actor)
		e.refused("pending", 409, logical.UpdateOperation, complete, actor)
	}
	if got := e.fb.Count("") - n; got != 3 {
		t.Errorf("in three intervals the provider was asked %d times", got)
	}
	if got := e.read(s.path); got["status"] != "pending" || got["grant"] != "device" {
		t.Errorf("the session reads %v", got)
	}
	if err := e.fb.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	e.restart()
	e.clock.Advance(5 * time.Second)
	e.must(logical.UpdateOperation, complete, actor)
	e.must(logical.UpdateOperation, complete, actor)
	c := e.read("creds/" + installation)
	if known, _ := e.fb.Inspect(c["access_token"].(string)); !known.Valid || known.User != "ada" {
		t.Errorf("served is %+v", known)
	}
	if _, ok := e.read("config/facebook")["client_token"]; ok {
		t.Error("the client token can be read")
	}
}

func TestADeviceIsPolledOnlyForItsActor(t *testing.T) {
	e, s, userCode := device(t, installation, "admin")
	if err := e.fb.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(5 * time.Second)
	e.refused("invalid_request", 400, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA"})
	e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory"})
	e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+installation, nil)
}

func TestADeviceLoginEnds(t *testing.T) {
	t.Run("when its time is over", func(t *testing.T) {
		e, s, _ := device(t, installation, "admin")
		e.clock.Advance(420 * time.Second)
		e.refused("session_expired", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
		if got := e.read(s.path)["status"]; got != "expired" {
			t.Errorf("the session is %v", got)
		}
	})
	t.Run("when the provider says so", func(t *testing.T) {
		e, s, _ := device(t, installation, "admin")
		e.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Message: "Activation Code Expired", Code: 463, Subcode: 1349152}})
		e.clock.Advance(5 * time.Second)
		e.refused("session_expired", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
		if got := e.read(s.path)["status"]; got != "failed" {
			t.Errorf("the session is %v", got)
		}
	})
	t.Run("not because the provider is down, or wants to be asked less", func(t *testing.T) {
		e, s, userCode := device(t, installation, "admin")
		for _, fault := range []struct {
			authpipetest.Fault
			code   string
			status int
		}{
			{authpipetest.Fault{Times: 1, Status: 503, Body: "<html>"}, "unavailable", 502},
			{authpipetest.Fault{Times: 1, Error: &authpipetest.GraphError{Code: 17, Subcode: 1349172}}, "pending", 409},
		} {
			e.clock.Advance(5 * time.Second)
			e.fb.Fail(fault.Fault)
			e.refused(fault.code, fault.status, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
		}
		if err := e.fb.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
			t.Fatal(err)
		}
		e.clock.Advance(5 * time.Second)
		e.refused("pending", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"}) // slowed down
		e.clock.Advance(5 * time.Second)
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
	})
}

// interrupt completes the session and dies before what came of it is stored.
func (e *engine) interrupt(s session) {
	e.t.Helper()
	puts := 0
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "put" {
			if puts++; puts > 1 {
				return storagetest.ErrStorage
			}
		}
		return nil
	})
	e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
	e.restart()
}

func TestAPollThatWasInterruptedIsRepeated(t *testing.T) {
	e, s, userCode := device(t, installation, "admin")
	e.clock.Advance(5 * time.Second)
	e.interrupt(s)
	if got := e.read(s.path)["status"]; got != "pending" {
		t.Errorf("the session is %v", got)
	}
	if err := e.fb.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(5 * time.Second)
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
}

func TestADeviceLoginThatCannotBegin(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	text := e.refused("misconfigured", 424, logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "grant": "device"})
	if !strings.Contains(text, "client_token") {
		t.Errorf("the error does not say what is missing: %s", text)
	}
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_token": "wrong"})
	text = e.refused("misconfigured", 424, logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "grant": "device"})
	if strings.Contains(text, "wrong") {
		t.Errorf("the error shows the client token: %s", text)
	}
	e.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "grant": "device", "return_url": returnURL})
	e.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "grant": "password"})
}

func TestADeviceSessionThatWasInterruptedIsCancelled(t *testing.T) {
	e, s, _ := device(t, installation, "admin")
	e.clock.Advance(5 * time.Second)
	e.interrupt(s)
	e.must(logical.DeleteOperation, s.path, nil)
	if got := e.read(s.path); got["status"] != "failed" || got["error"] != "cancelled" {
		t.Errorf("the session reads %v", got)
	}
}

// TestADenialOnADeviceIsToldAsFarAsItIsKnown covers what a device may hear when
// the person says no, which is not written down.
func TestADenialOnADeviceIsToldAsFarAsItIsKnown(t *testing.T) {
	for name, row := range map[string]struct {
		denied  *authpipetest.GraphError
		code    string
		status  int
		session string
	}{
		"that it is to wait":        {nil, "pending", 409, "pending"},
		"a permission that lacks":   {&authpipetest.GraphError{Code: 200, Message: "denied"}, "needs_reauth", 409, "failed"},
		"a parameter that is wrong": {&authpipetest.GraphError{Code: 100, Subcode: 1349999, Message: "User denied"}, "invalid_request", 400, "failed"},
		"a code that nobody knows":  {&authpipetest.GraphError{Code: 987654, Message: "?"}, "unavailable", 502, "pending"},
	} {
		t.Run(name, func(t *testing.T) {
			e, s, userCode := deviceAt(t, authpipetest.Options{DeviceDenied: row.denied}, installation, "admin")
			if err := e.fb.ApproveDevice(userCode, authpipetest.Consent{User: "ada", Cancel: true}); err != nil {
				t.Fatal(err)
			}
			e.clock.Advance(5 * time.Second)
			e.refused(row.code, row.status, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
			if got := e.read(s.path)["status"]; got != row.session {
				t.Errorf("the session is %v", got)
			}
			e.clock.Advance(10 * time.Minute)
			if got := e.read(s.path)["status"]; got != "expired" && got != row.session || got == "pending" {
				t.Errorf("ten minutes later the session is %v", got)
			}
		})
	}
}

// TestATokenFromADeviceIsNotThrownAway has the provider fail after it gave the
// token: the device code is spent, and the token is all there is.
func TestATokenFromADeviceIsNotThrownAway(t *testing.T) {
	e, s, userCode := device(t, installation, "admin")
	if err := e.fb.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(5 * time.Second)
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Reset: true})
	e.refused("unavailable", 502, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
	if got := e.read(s.path)["status"]; got != "authorized" {
		t.Errorf("the session is %v", got)
	}
	e.restart()
	n := e.fb.Count(authpipetest.EndpointDeviceStatus)
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
	if got := e.fb.Count(authpipetest.EndpointDeviceStatus) - n; got != 0 {
		t.Errorf("the provider was polled %d times more", got)
	}
	e.read("creds/" + installation)
}
