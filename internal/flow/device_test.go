package flow_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestDeviceLoginConnects(t *testing.T) {
	e, s, userCode := enginetest.Device(t, enginetest.Installation, "admin")
	complete, actor := s.Path+"/complete", map[string]any{"actor": "admin"}
	n := e.Facebook.Count("")
	e.Refused("pending", 409, logical.UpdateOperation, complete, actor)
	if got := e.Facebook.Count("") - n; got != 0 {
		t.Errorf("before the interval was over the provider was asked %d times", got)
	}
	for range 3 {
		e.Clock.Advance(5 * time.Second)
		e.Refused("pending", 409, logical.UpdateOperation, complete, actor)
		e.Refused("pending", 409, logical.UpdateOperation, complete, actor)
	}
	if got := e.Facebook.Count("") - n; got != 3 {
		t.Errorf("in three intervals the provider was asked %d times", got)
	}
	if got := e.Read(s.Path); got["status"] != "pending" || got["grant"] != "device" {
		t.Errorf("the session reads %v", got)
	}
	if err := e.Facebook.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	e.Restart()
	e.Clock.Advance(5 * time.Second)
	e.Must(logical.UpdateOperation, complete, actor)
	e.Must(logical.UpdateOperation, complete, actor)
	c := e.Read("creds/" + enginetest.Installation)
	if known, _ := e.Facebook.Inspect(c["access_token"].(string)); !known.Valid || known.User != "ada" {
		t.Errorf("served is %+v", known)
	}
	if _, ok := e.Read("config/facebook")["client_token"]; ok {
		t.Error("the client token can be read")
	}
}

func TestDeviceIsPolledOnlyForItsActor(t *testing.T) {
	e, s, userCode := enginetest.Device(t, enginetest.Installation, "admin")
	if err := e.Facebook.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(5 * time.Second)
	e.Refused("invalid_request", 400, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA"})
	e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory"})
	e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
}

func TestDeviceLoginEnds(t *testing.T) {
	t.Run("when its time is over", func(t *testing.T) {
		e, s, _ := enginetest.Device(t, enginetest.Installation, "admin")
		e.Clock.Advance(420 * time.Second)
		e.Refused("session_expired", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
		if got := e.Read(s.Path)["status"]; got != "expired" {
			t.Errorf("the session is %v", got)
		}
	})
	t.Run("when the provider says so", func(t *testing.T) {
		e, s, _ := enginetest.Device(t, enginetest.Installation, "admin")
		e.Facebook.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Message: "Activation Code Expired", Code: 463, Subcode: 1349152}})
		e.Clock.Advance(5 * time.Second)
		e.Refused("session_expired", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
		if got := e.Read(s.Path)["status"]; got != "failed" {
			t.Errorf("the session is %v", got)
		}
	})
	t.Run("not because the provider is down, or wants to be asked less", func(t *testing.T) {
		e, s, userCode := enginetest.Device(t, enginetest.Installation, "admin")
		for _, fault := range []struct {
			authpipetest.Fault
			code   string
			status int
		}{
			{authpipetest.Fault{Times: 1, Status: 503, Body: "<html>"}, "unavailable", 502},
			{authpipetest.Fault{Times: 1, Error: &authpipetest.GraphError{Code: 17, Subcode: 1349172}}, "pending", 409},
		} {
			e.Clock.Advance(5 * time.Second)
			e.Facebook.Fail(fault.Fault)
			e.Refused(fault.code, fault.status, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
		}
		if err := e.Facebook.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
			t.Fatal(err)
		}
		e.Clock.Advance(5 * time.Second)
		e.Refused("pending", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"}) // slowed down
		e.Clock.Advance(5 * time.Second)
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
	})
}

// interrupt completes the session and dies before what came of it is stored.
func interrupt(e *enginetest.Engine, s enginetest.Session) {
	e.T.Helper()
	puts := 0
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "put" {
			if puts++; puts > 1 {
				return storagetest.ErrStorage
			}
		}
		return nil
	})
	e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
	e.Restart()
}

func TestInterruptedPollIsRepeated(t *testing.T) {
	e, s, userCode := enginetest.Device(t, enginetest.Installation, "admin")
	e.Clock.Advance(5 * time.Second)
	interrupt(e, s)
	if got := e.Read(s.Path)["status"]; got != "pending" {
		t.Errorf("the session is %v", got)
	}
	if err := e.Facebook.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(5 * time.Second)
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
}

func TestDeviceLoginThatCannotBeginIsRefused(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	text := e.Refused("misconfigured", 424, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "grant": "device"})
	if !strings.Contains(text, "client_token") {
		t.Errorf("the error does not say what is missing: %s", text)
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_token": "wrong"})
	text = e.Refused("misconfigured", 424, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "grant": "device"})
	if strings.Contains(text, "wrong") {
		t.Errorf("the error shows the client token: %s", text)
	}
	e.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "grant": "device", "return_url": enginetest.ReturnURL})
	e.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "grant": "password"})
}

func TestInterruptedDeviceSessionIsCancelled(t *testing.T) {
	e, s, _ := enginetest.Device(t, enginetest.Installation, "admin")
	e.Clock.Advance(5 * time.Second)
	interrupt(e, s)
	e.Must(logical.DeleteOperation, s.Path, nil)
	if got := e.Read(s.Path); got["status"] != "failed" || got["error"] != "cancelled" {
		t.Errorf("the session reads %v", got)
	}
}

// TestDeviceDenialFailsSession covers what a device may hear when
// the person says no, which is not written down.
func TestDeviceDenialFailsSession(t *testing.T) {
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
			e, s, userCode := enginetest.DeviceWith(t, authpipetest.Options{DeviceDenied: row.denied}, enginetest.Installation, "admin")
			if err := e.Facebook.ApproveDevice(userCode, authpipetest.Consent{User: "ada", Cancel: true}); err != nil {
				t.Fatal(err)
			}
			e.Clock.Advance(5 * time.Second)
			e.Refused(row.code, row.status, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
			if got := e.Read(s.Path)["status"]; got != row.session {
				t.Errorf("the session is %v", got)
			}
			e.Clock.Advance(10 * time.Minute)
			if got := e.Read(s.Path)["status"]; got != "expired" && got != row.session || got == "pending" {
				t.Errorf("ten minutes later the session is %v", got)
			}
		})
	}
}

// TestDeviceTokenSurvivesFailure has the provider fail after it gave the
// token: the device code is spent, and the token is all there is.
func TestDeviceTokenSurvivesFailure(t *testing.T) {
	e, s, userCode := enginetest.Device(t, enginetest.Installation, "admin")
	if err := e.Facebook.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(5 * time.Second)
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Reset: true})
	e.Refused("unavailable", 502, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
	if got := e.Read(s.Path)["status"]; got != "authorized" {
		t.Errorf("the session is %v", got)
	}
	e.Restart()
	n := e.Facebook.Count(authpipetest.EndpointDeviceStatus)
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
	if got := e.Facebook.Count(authpipetest.EndpointDeviceStatus) - n; got != 0 {
		t.Errorf("the provider was polled %d times more", got)
	}
	e.Read("creds/" + enginetest.Installation)
}
