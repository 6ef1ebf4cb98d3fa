package backend_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/providertest/plain"
)

// TestCrashBetweenAnswerAndStore kills the engine at each storage operation of a sweep that
// refreshes. The provider accepts the second use of a refresh token for a while, and the
// engine is back within it.
func TestCrashBetweenAnswerAndStore(t *testing.T) {
	for _, afterEffect := range []bool{false, true} {
		for n := 1; ; n++ {
			s := newSecond(t, plain.Options{Grace: 5 * time.Minute}, true)
			s.Clock.Advance(50 * time.Minute)
			s.Storage.DieAt(n, afterEffect)
			_ = s.Sweep(context.Background())
			died := len(s.Storage.Operations()) >= n
			s.Restart()
			s.after(2 * time.Minute)
			for _, ref := range []string{plainInstallation, plainUma} {
				if token, err := s.Do(logical.ReadOperation, "creds/"+ref, nil); err != nil || !s.works(token.Data["access_token"].(string)) {
					t.Errorf("killed at operation %d (after its effect: %v), %s: %v", n, afterEffect, ref, err)
				}
			}
			if !died {
				break
			}
		}
	}
}

// TestFreshTokenThatStorageDoesNotTakeIsHeld has each write of a sweep that refreshes fail,
// one after the other, at a provider that accepts no second use of a refresh token.
func TestFreshTokenThatStorageDoesNotTakeIsHeld(t *testing.T) {
	down := errors.New("storage is down")
	for name, fail := range map[string]func(n int, op storagetest.Operation) error{
		"records cannot be written": func(_ int, op storagetest.Operation) error {
			if strings.HasPrefix(op.Key, "cred/") && op.Verb == "put" {
				return down
			}
			return nil
		},
		"nothing can be written": func(_ int, op storagetest.Operation) error {
			if op.Verb != "get" && op.Verb != "list" {
				return down
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecond(t, plain.Options{}, true)
			former := s.token(plainUma)
			s.Clock.Advance(50 * time.Minute)
			s.Storage.Fail(fail)
			for range 5 {
				_ = s.Sweep(context.Background())
				s.Clock.Advance(time.Minute)
				s.Do(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
				s.Do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
			}
			calls := s.server.Count("token")
			s.Storage.Reset()
			s.server.EndAccess(former)
			s.Must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil) // about the token that is held
			s.MustSweep()
			if extra := s.server.Count("token") - calls; extra != 0 {
				t.Errorf("%d refreshes were made of tokens that are held", extra)
			}
			for _, ref := range []string{plainInstallation, plainUma} {
				if seen := s.Read("connections/" + ref); seen["status"] != "active" || !s.works(s.token(ref)) {
					t.Errorf("%s is %v", ref, seen["status"])
				}
			}
			s.Restart()
			s.after(3 * time.Hour)
			if !s.works(s.token(plainUma)) {
				t.Error("the refresh token that was stored is not the last")
			}
		})
	}
}

func TestHeldTokenOfDeletedCredentialIsRevoked(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.Clock.Advance(50 * time.Minute)
	s.refuseRecord(plainUma)
	_ = s.Sweep(context.Background())
	s.Must(logical.DeleteOperation, "creds/"+plainUma, map[string]any{"revoke": false})
	s.Storage.Reset()
	s.after(time.Hour)
	if living := s.server.Living("uma"); living != 0 {
		t.Errorf("%d grants live that no record has", living)
	}
}

// refuseRecord has storage refuse each write of the credential's record until Reset.
func (s *second) refuseRecord(ref string) {
	s.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "cred/"+ref) && op.Verb == "put" {
			return errors.New("storage is down")
		}
		return nil
	})
}

// TestHeldTokenIsStoredByNextSweep has a refresh by hand, long before one is due.
func TestHeldTokenIsStoredByNextSweep(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	generation := s.Read("connections/" + plainUma)["generation"]
	s.refuseRecord(plainUma)
	s.Do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.Storage.Reset()
	s.MustSweep()
	if s.Read("connections/" + plainUma)["generation"] == generation {
		t.Error("a sweep with nothing due does not store the token that is held")
	}
	s.Restart()
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("the refresh token that was stored is not the last")
	}
}

func TestAnswerWithoutFreshTokensIsNotHeld(t *testing.T) {
	s := newSecond(t, plain.Options{SameToken: true}, true)
	s.wire.Inject(without("refresh_token"))
	s.refuseRecord(plainUma)
	s.Do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.Storage.Reset()
	if strings.Contains(s.Log.String(), "held in memory") {
		t.Error("an answer that the provider gives again is held")
	}
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("it is not refreshed any more")
	}
}

// TestHeldTokenSurvivesPanicOfStorage has storage panic at the second try to store a token.
func TestHeldTokenSurvivesPanicOfStorage(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	generation := s.Read("connections/" + plainUma)["generation"]
	s.refuseRecord(plainUma)
	s.Do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "cred/"+plainUma) && op.Verb == "put" {
			panic("storage is broken")
		}
		return nil
	})
	s.MustSweep()
	s.Storage.Reset()
	s.MustSweep()
	if s.Read("connections/" + plainUma)["generation"] == generation {
		t.Error("the token that was held is lost")
	}
}

func TestNoRefreshBeginsAfterShutdown(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	calls := s.wire.Requests()
	s.Cleanup(context.Background())
	for _, call := range []string{"refresh", "check"} {
		s.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+plainUma+"/"+call, nil)
	}
	if !s.works(s.token(plainUma)) {
		t.Error("a living token is not served")
	}
	if extra := s.wire.Requests() - calls; extra > 0 {
		t.Errorf("%d requests were sent after the shutdown", extra)
	}
}

func TestHeldTokenIsStoredAtShutdown(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.refuseRecord(plainUma)
	s.Do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.Storage.Reset()
	s.Cleanup(context.Background())
	s.Restart()
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("a fresh token that was held at the shutdown is lost")
	}
}

func TestShutdownReportsHeldTokenThatStorageDoesNotTake(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.refuseRecord(plainUma)
	s.Do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.Cleanup(context.Background())
	if !strings.Contains(s.Log.String(), "could not be stored before the shutdown") {
		t.Error("the log does not say that a fresh token is lost")
	}
}

func TestRefreshUnderWayAtShutdownIsStored(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	arrived, shuttingDown, answer := make(chan string, 2), make(chan struct{}), make(chan struct{})
	s.wire.Inject(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		arrived <- r.URL.Path
		if r.URL.Path == "/introspect" {
			<-r.Context().Done() // it ends with the mount
			close(shuttingDown)
			return nil, r.Context().Err()
		}
		resp, err := server.RoundTrip(r) // the refresh token is spent
		select {
		case <-answer:
			return resp, err
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
	var requests sync.WaitGroup
	for _, path := range []string{"connections/" + plainInstallation + "/check", "connections/" + plainUma + "/refresh"} {
		requests.Go(func() {
			_, _ = s.HandleRequest(context.Background(), &logical.Request{Operation: logical.UpdateOperation, Path: path, Storage: s.Storage})
		})
	}
	<-arrived
	<-arrived
	s.wire.Inject(nil)
	ended := make(chan struct{})
	go func() {
		s.Cleanup(context.Background())
		close(ended)
	}()
	<-shuttingDown
	select {
	case <-ended:
		t.Error("the engine does not wait for a refresh token that was sent")
	default:
	}
	close(answer)
	<-ended
	requests.Wait()
	s.Restart()
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("a refresh token that came while the engine was shut down is lost")
	}
}

func TestFreshTokenOfDeletedCredentialIsRevoked(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.wire.Inject(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		resp, err := server.RoundTrip(r)
		s.wire.Inject(nil)
		s.Must(logical.DeleteOperation, "creds/"+plainUma, map[string]any{"revoke": false})
		return resp, err
	})
	s.Refused("not_found", 404, logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	if living := s.server.Living("uma"); living != 0 {
		t.Errorf("%d grants live that no record has", living)
	}
}

// TestRefreshOutweighsCheckThatMetTheSpentTokens has a check come between the provider's
// answer to a refresh and the engine's put.
func TestRefreshOutweighsCheckThatMetTheSpentTokens(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	former := s.token(plainUma)
	s.wire.Inject(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		resp, err := server.RoundTrip(r)
		s.wire.Inject(nil)
		s.server.EndAccess(former)
		s.Refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
		return resp, err
	})
	s.Must(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	if living := s.server.Living("uma"); living != 1 || !s.works(s.token(plainUma)) {
		t.Errorf("%d grants live", living)
	}
	if status := s.Read("connections/" + plainUma)["status"]; status != "active" {
		t.Errorf("it is %v", status)
	}
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("it is not refreshed any more")
	}
}

// TestCheckDoesNotJudgeTokenWhoseSuccessorIsHeld has storage take no record between the
// beginning of a check and its verdict, when a refresh is made.
func TestCheckDoesNotJudgeTokenWhoseSuccessorIsHeld(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	former := s.token(plainUma)
	s.wire.Inject(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		s.wire.Inject(nil)
		s.refuseRecord(plainUma)
		s.Do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
		s.Storage.Reset()
		s.server.EndAccess(former)
		return server.RoundTrip(r)
	})
	s.Must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	if status := s.Read("connections/" + plainUma)["status"]; status != "active" {
		t.Errorf("it is %v", status)
	}
	s.Must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	if !s.works(s.token(plainUma)) {
		t.Error("the token that was held is lost")
	}
}
