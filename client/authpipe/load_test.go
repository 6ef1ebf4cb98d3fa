package authpipe_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

var (
	loadRefs  = flag.Int("load.refs", 500, "how many credentials TestLoad has")
	loadUsers = flag.Int("load.goroutines", 0, "how many goroutines read them; 0: one for each 64 credentials, 64 at most")
	loadTime  = flag.Duration("load.time", 10*time.Minute, "for how long, by a simulated clock")
)

// A storm is a Vault that restarts each minute, is out of reach for three minutes of every ten, and fails now and then. Its tokens
// live for two to ten minutes, and are refreshed after half of that.
type storm struct {
	*double
	began time.Time

	mu      sync.Mutex
	ends    map[string]time.Time // of each token that was ever issued; zero: never
	pending map[string]int       // requests under way, by ref
	doubled []string             // refs of which two were
}

// RoundTrip implements [http.RoundTripper].
func (s *storm) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	_, ref, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/authpipe/"), "/")
	ref = strings.TrimSuffix(ref, "/check")
	s.enter(ref)
	defer s.leave(ref)
	defer func() {
		if answer != nil {
			answer.Request = r
		}
	}()
	time.Sleep(rand.N(20 * time.Millisecond))
	switch at := time.Since(s.began); {
	case at%(10*time.Minute) > 6*time.Minute && at%(10*time.Minute) < 9*time.Minute, at%time.Minute > 55*time.Second:
		return nil, syscall.ECONNREFUSED
	case at%time.Minute > 50*time.Second:
		return s.refuse(http.StatusServiceUnavailable, "Vault is sealed"), nil
	}
	luck := rand.IntN(200)
	switch luck {
	case 0:
		return nil, syscall.ECONNRESET
	case 1:
		return s.refuse(http.StatusBadGateway, "unavailable: Facebook is down"), nil
	case 2:
		<-r.Context().Done() // the request hangs
		return nil, r.Context().Err()
	}
	s.issue(ref)
	answer, err = s.double.RoundTrip(r)
	if luck == 3 && err == nil {
		answer.Body = io.NopCloser(io.LimitReader(answer.Body, 100)) // the response is cut off
	}
	return answer, err
}

func (s *storm) enter(ref string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[ref]++; s.pending[ref] > 1 {
		s.doubled = append(s.doubled, ref)
	}
}

func (s *storm) leave(ref string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[ref]--
}

// issue refreshes a ref's token when it is due, as the engine's sweep does.
func (s *storm) issue(ref string) {
	s.double.mu.Lock()
	defer s.double.mu.Unlock()
	h := s.double.refs[ref]
	if h == nil || h.expires.IsZero() || time.Until(h.expires) > h.ttl {
		return
	}
	s.fresh(h, ref)
}

func (s *storm) fresh(h *stored, ref string) {
	life := 2*time.Minute + rand.N(8*time.Minute)
	h.token, h.expires, h.ttl = fmt.Sprintf("%s, %d", ref, rand.Int64()), time.Now().Add(life), life/2
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[h.token] = h.expires
}

// expired reports whether a token had expired at a time.
func (s *storm) expired(token string, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	end, issued := s.ends[token]
	return !issued || !end.IsZero() && !at.Before(end)
}

// newStorm returns a storm in which one user of ten never connected, and one token of ten never expires.
func newStorm(refs int) (*storm, []authpipe.Request) {
	s := &storm{double: newDouble(time.Now), began: time.Now(), ends: map[string]time.Time{}, pending: map[string]int{}}
	s.double.put(installation, stored{token: "the installation's"})
	s.ends["the installation's"] = time.Time{}
	requests := make([]authpipe.Request, refs)
	for i := range requests {
		requests[i] = authpipe.Request{Tenant: "org_acme", User: fmt.Sprintf("u%d", i), For: authpipe.ForAny}
		ref := "org_acme/facebook/users/" + requests[i].User
		switch i % 10 {
		case 0:
		case 1:
			s.double.put(ref, stored{token: ref})
			s.ends[ref] = time.Time{}
		default:
			h := stored{}
			s.fresh(&h, ref)
			s.double.put(ref, h)
		}
	}
	return s, requests
}

// TestLoad reads many credentials for a long time, through a storm. No expired token is served; no ref has two requests at the same
// time; no read fails but with ErrUnavailable. It prints figures, and does not judge them.
func TestLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, requests := newStorm(*loadRefs)
		client := authpipe.New(vaultAt(t, s), authpipe.Options{Size: *loadRefs * 9 / 10, Timeout: 10 * time.Second})
		var crowd sync.WaitGroup
		var served, waited, refused atomic.Int64
		goroutines := cmp.Or(*loadUsers, min(max(*loadRefs/64, 2), 64))
		length := *loadTime
		if testing.Short() {
			length = min(length, time.Minute)
		}
		end := time.Now().Add(length)
		for range goroutines {
			crowd.Go(func() {
				for time.Now().Before(end) {
					for range 10 {
						ok, blocked := s.read(t, client, requests[pick(len(requests))])
						served.Add(ok)
						refused.Add(1 - ok)
						waited.Add(blocked)
					}
					time.Sleep(rand.N(400 * time.Millisecond))
				}
			})
		}
		crowd.Wait()
		client.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.doubled) > 0 {
			t.Errorf("%s there were two requests at the same time for one ref: %v", times(len(s.doubled)), s.doubled[0])
		}
		if served.Load() < refused.Load()*10 {
			t.Errorf("only %d were served, and %d refused", served.Load(), refused.Load())
		}
		t.Logf("%d credentials, %d goroutines, %v: %d served at once, %d after a wait, %d refused; Vault got %d requests and issued %d tokens",
			*loadRefs, goroutines, length, served.Load()-waited.Load(), waited.Load(), refused.Load(), s.count(""), len(s.ends))
	})
}

// pick prefers one tenth of the credentials, as real traffic does.
func pick(n int) int {
	if rand.IntN(10) < 7 {
		return rand.IntN(max(n/10, 1))
	}
	return rand.IntN(n)
}

// read reads once, and now and then calls Forget or ReportDead. It returns what it adds to the counts.
func (s *storm) read(t *testing.T, client *authpipe.Client, q authpipe.Request) (served, blocked int64) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	if rand.IntN(100) == 0 {
		ctx, cancel = context.WithTimeout(t.Context(), rand.N(10*time.Millisecond)) // a caller that gives up soon
	}
	defer cancel()
	began := time.Now()
	credential, err := client.Credential(ctx, q)
	if !time.Now().Equal(began) {
		blocked = 1
	}
	switch {
	case err == nil:
	case errors.Is(err, authpipe.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return 0, 0
	default:
		t.Errorf("%s: %v", q.User, err)
		return 0, 0
	}
	if credential.User != q.User && (credential.User != "" || credential.Source != authpipe.ForInstallation) {
		t.Errorf("%s got %s", q.User, credential.Ref)
	}
	if s.expired(credential.AccessToken.Reveal(), time.Now()) {
		t.Errorf("an expired token is served: %s", credential.AccessToken.Reveal())
	}
	switch rand.IntN(100_000) {
	case 0:
		client.Forget(credential.Ref)
	case 1:
		if fresh, err := client.ReportDead(ctx, credential); err == nil && s.expired(fresh.AccessToken.Reveal(), time.Now()) {
			t.Errorf("an expired token is served in place of a dead one: %s", fresh.AccessToken.Reveal())
		}
	}
	return 1, blocked
}
